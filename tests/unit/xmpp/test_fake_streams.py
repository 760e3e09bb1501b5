"""Connections of the fake: states, losses, resumption, new sessions, and what each brings or loses."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import textwrap

import msgspec
import pytest

from pubsub_cached.errors import AuthenticationFailed, Offline
from pubsub_cached.xmpp import fake
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Client, FakeSession, Profile, Service, World
from pubsub_cached.xmpp.port import Connector, Endpoint, ItemsEvent, Session

ALICE = "alice@example.org"


def ids(client: Client) -> list[str]:
    """Ids of published items, in the order of events."""
    return [item.id for event in client.events if isinstance(event, ItemsEvent) for item in event.items]


async def online(profile: Profile = PROSODY, *, burst: bool = False) -> tuple[World, Service, Client]:
    """Alice online, subscribed to a node with one item."""
    world = World(burst=burst)
    world.account(ALICE, pep=profile)
    service = world.service("pubsub.example.org", profile=profile)
    service.create_node("blog", send_last="never")
    service.publish("blog", "first")
    service.add_subscription("blog", ALICE)
    client = Client(world, ALICE)
    await client.start()
    return world, service, client


async def test_a_world_s_connector_gives_sessions_of_the_port() -> None:
    world = World()
    connector: Connector = world.connector
    session: Session = connector(Endpoint(jid=ALICE), str, Client(world, "bob@example.org"))
    assert isinstance(session, FakeSession)
    assert not session.online


@pytest.mark.parametrize("name", [name for name in vars(Session) if not name.startswith("_")])
def test_a_session_has_every_member_of_the_port(name: str) -> None:
    wanted, given = inspect.getattr_static(Session, name), inspect.getattr_static(FakeSession, name)
    assert type(given) is type(wanted)
    if not isinstance(wanted, property):
        assert inspect.signature(given) == inspect.signature(wanted)
        assert inspect.iscoroutinefunction(given) == inspect.iscoroutinefunction(wanted)


async def test_the_example_in_the_documentation_works() -> None:
    example = textwrap.dedent("".join(re.findall(r"^(?: {4}.*)?\n", fake.__doc__ or "", re.MULTILINE)))
    assert "world.cut" in example
    code = compile(example, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, dict(vars(fake)))


class TestLogin:
    """From offline to online, or not."""

    async def test_connecting_tells_states_before_the_start(self) -> None:
        _, _, client = await online()
        assert client.told == ["connecting", "online", "started"]
        assert client.starts == [False]
        assert client.session.online

    async def test_connecting_twice_is_connecting_once(self) -> None:
        world, _, client = await online()
        client.session.connect()
        await world.settle()
        assert client.starts == [False]

    @pytest.mark.parametrize(
        ("jid", "password"), [(ALICE, "hunter2"), ("nobody@example.org", "secret")], ids=["password", "account"]
    )
    async def test_a_wrong_password_or_account_fails_with_a_sentence(self, jid: str, password: str) -> None:
        world = World()
        world.account(ALICE)
        client = Client(world, jid, password=password)
        await client.start()
        state, error, message = client.states[-1]
        assert (state, error) == ("failed", AuthenticationFailed.dbus_name)
        assert message.startswith(f"The server refused {jid}: ")
        assert not any(password in text for told in client.states for text in told)
        assert client.starts == []

    async def test_a_password_that_cannot_be_had_fails(self) -> None:
        world = World()
        world.account(ALICE)
        client = Client(world, ALICE)

        def no_password() -> str:
            raise AuthenticationFailed("There is no password.")

        session = world.connector(Endpoint(jid=ALICE), no_password, client)
        session.connect()
        await world.settle()
        assert client.states[-1] == ("failed", AuthenticationFailed.dbus_name, "There is no password.")

    async def test_a_refused_account_fails_at_the_next_login_and_may_be_accepted_again(self) -> None:
        world, _, client = await online()
        world.refuse(ALICE, "the account is disabled")
        world.restore(ALICE)
        await world.settle()
        state, _, message = client.states[-1]
        assert (state, "the account is disabled" in message) == ("failed", True)
        world.refuse(ALICE, "")
        await client.start()
        assert client.session.online

    async def test_a_server_that_cannot_be_reached_leaves_the_session_waiting(self) -> None:
        world = World()
        world.account(ALICE).reachable = False
        client = Client(world, ALICE)
        await client.start()
        assert client.told == ["connecting", "waiting"]
        assert client.states[-1][1] == Offline.dbus_name
        world.restore(ALICE)
        await world.settle()
        assert client.told[2:] == ["connecting", "online", "started"]
        assert world.accounts[ALICE].reachable

    async def test_a_network_that_is_up_ends_the_waiting_and_one_that_is_down_does_not(self) -> None:
        world, _, client = await online()
        world.cut(ALICE)
        client.session.network_changed(False)
        await world.settle()
        assert client.told[-1] == "waiting"
        client.session.network_changed(True)
        await world.settle()
        assert client.session.online
        await client.session.close()
        client.session.network_changed(True)
        await world.settle()
        assert not client.session.online


class TestLoss:
    """A connection that is lost."""

    async def test_a_cut_ends_the_stream_and_leaves_the_session_waiting(self) -> None:
        world, _, client = await online()
        client.told.clear()
        world.cut(ALICE)
        await world.settle()
        assert client.told == ["ended", "waiting"]
        assert not client.session.online

    async def test_nothing_reconnects_by_itself_unless_asked(self) -> None:
        for reconnect in (False, True):
            world = World(reconnect=reconnect)
            world.account(ALICE)
            client = Client(world, ALICE)
            await client.start()
            world.cut(ALICE)
            await world.settle()
            assert client.session.online is reconnect

    async def test_pending_requests_fail_offline_and_later_ones_at_once(self) -> None:
        world, service, client = await online()
        service.hold()
        pending = asyncio.create_task(client.session.get_items(service.jid, "blog"))
        await world.settle()
        assert not pending.done()
        world.cut(ALICE)
        await world.settle()
        with pytest.raises(Offline):
            pending.result()
        with pytest.raises(Offline):
            await client.session.get_items(service.jid, "blog")
        assert world.count("get_items") == 1

    async def test_a_late_reply_to_a_lost_stream_goes_nowhere(self) -> None:
        world, service, client = await online()
        service.hold()
        pending = asyncio.create_task(client.session.get_items(service.jid, "blog"))
        await world.settle()
        world.cut(ALICE)
        assert world.resume(ALICE)
        service.release()
        await world.settle()
        assert isinstance(pending.exception(), Offline)

    async def test_closing_fails_pending_requests_and_is_told(self) -> None:
        world, service, client = await online()
        service.hold()
        pending = asyncio.create_task(client.session.get_items(service.jid, "blog"))
        await world.settle()
        client.told.clear()
        await client.session.close()
        assert client.told == ["ended", "offline"]
        await world.settle()
        assert isinstance(pending.exception(), Offline)
        service.publish("blog", "later")
        await world.settle()
        assert ids(client) == []

    async def test_a_closed_session_can_connect_again(self) -> None:
        world, service, client = await online()
        await client.session.close()
        await client.start()
        service.publish("blog", "second")
        await world.settle()
        assert (client.starts, ids(client)) == ([False, False], ["second"])

    async def test_only_sessions_that_want_to_be_connected_can_be_cut_or_restored(self) -> None:
        world, _, client = await online()
        await client.session.close()
        for action in (world.cut, world.resume, world.restore):
            with pytest.raises(LookupError):
                action(ALICE)

    async def test_a_killed_client_hears_nothing_and_its_account_can_come_back(self) -> None:
        world, service, client = await online()
        told = list(client.told)
        service.publish("blog", "under way")
        world.cut(ALICE)
        world.resume(ALICE)
        world.kill(ALICE)
        await world.settle()
        assert (client.told, client.session.online) == (told, False)
        successor = Client(world, ALICE)
        await successor.start()
        service.publish("blog", "later")
        await world.settle()
        assert (ids(successor), ids(client)) == (["later"], [])


class TestResumption:
    """XEP-0198: nothing is missed."""

    async def test_events_missed_are_replayed_in_order_after_the_start(self) -> None:
        world, service, client = await online()
        world.cut(ALICE)
        for number in range(5):
            service.publish("blog", str(number))
        await world.settle()
        assert ids(client) == []
        client.told.clear()
        assert world.resume(ALICE)
        service.publish("blog", "live")
        await world.settle()
        assert client.starts == [False, True]
        assert ids(client) == ["0", "1", "2", "3", "4", "live"]
        assert client.told == ["connecting", "online", "resumed"] + ["event"] * 6

    async def test_events_under_way_when_the_connection_goes_come_before_its_end(self) -> None:
        world, service, client = await online()
        service.publish("blog", "under way")
        world.cut(ALICE)
        await world.settle()
        assert client.told[-3:] == ["event", "ended", "waiting"]

    async def test_resumption_brings_no_last_items(self) -> None:
        world, _, client = await online(EJABBERD)
        world.accounts[ALICE].pep.publish("mood", "1")
        client.session.set_interests(frozenset({"mood"}))
        await world.settle()
        assert ids(client) == ["1"]
        world.cut(ALICE)
        world.resume(ALICE)
        await world.settle()
        assert ids(client) == ["1"]

    async def test_interests_changed_while_offline_are_announced_at_resumption(self) -> None:
        world, _, client = await online(EJABBERD)
        world.accounts[ALICE].pep.publish("mood", "1")
        world.cut(ALICE)
        await world.settle()
        client.session.set_interests(frozenset({"mood"}))
        world.resume(ALICE)
        await world.settle()
        assert ids(client) == ["1"]

    async def test_prosody_s_queue_of_500_stanzas_once_overrun_means_a_new_session(self) -> None:
        assert PROSODY.resume_limit == 500
        small = msgspec.structs.replace(PROSODY, resume_limit=3, pep=None)
        for missed, resumed in ((3, True), (4, False)):
            world, service, client = await online(small)
            world.cut(ALICE)
            for number in range(missed):
                service.publish("blog", str(number))
            assert world.resume(ALICE) is resumed
            await world.settle()
            assert client.starts == [False, resumed]
            assert len(ids(client)) == (missed if resumed else 0)


class TestNewSession:
    """After a loss without resumption."""

    async def test_headline_events_missed_are_lost_and_the_subscription_stays(self) -> None:
        world, service, client = await online()
        world.cut(ALICE)
        service.publish("blog", "missed")
        world.restore(ALICE)
        service.publish("blog", "live")
        await world.settle()
        assert (client.starts, ids(client)) == ([False, False], ["live"])
        assert [item.id for item in service.items("blog")] == ["first", "missed", "live"]

    async def test_normal_events_missed_are_stored_and_replayed_with_delay(self) -> None:
        world, service, client = await online(LIBERVIA)
        world.cut(ALICE)
        service.publish("blog", "before")
        world.restore(ALICE)
        await world.settle()
        await client.session.close()
        service.publish("blog", "while closed")
        await client.start()
        service.publish("blog", "live")
        await world.settle()
        delays = [event.delayed for event in client.events]
        assert (ids(client), delays) == (["before", "while closed", "live"], [True, True, False])

    async def test_last_items_are_pushed_again(self) -> None:
        world, _, client = await online(EJABBERD)
        client.session.set_interests(frozenset({"mood"}))
        await world.settle()
        world.cut(ALICE)
        world.accounts[ALICE].pep.publish("mood", "missed")
        world.restore(ALICE)
        await world.settle()
        assert ids(client) == ["missed"]
        assert not client.events[0].delayed

    async def test_connecting_again_after_a_cut_is_a_new_session(self) -> None:
        world, service, client = await online()
        world.cut(ALICE)
        service.publish("blog", "missed")
        await world.settle()
        await client.start()
        assert (client.starts, ids(client)) == ([False, False], [])


class TestOrder:
    """Replies and events share one stream."""

    async def test_a_reply_is_never_older_than_an_event_already_delivered(self) -> None:
        world, service, client = await online()

        def publish(number: int) -> None:
            service.publish("blog", str(number))
            if number < 19:
                world.enqueue(publish, number + 1)

        publish(0)
        page = await client.session.get_items(service.jid, "blog")
        delivered = ids(client)
        assert 0 < len(delivered) < 20
        assert {"first", *delivered} <= {item.id for item in page.items}
        await world.settle()
        assert ids(client) == [str(number) for number in range(20)]

    async def test_a_held_reply_is_as_new_as_its_release(self) -> None:
        world, service, client = await online()
        service.hold()
        asked = asyncio.create_task(client.session.get_items(service.jid, "blog"))
        await world.settle()
        service.publish("blog", "meanwhile")
        await world.settle()
        assert ids(client) == ["meanwhile"]
        service.release()
        assert [item.id for item in (await asked).items] == ["first", "meanwhile"]

    async def test_an_event_before_a_request_is_delivered_before_its_reply(self) -> None:
        _, service, client = await online()
        service.publish("blog", "own")
        page = await client.session.get_items(service.jid, "blog")
        assert ids(client) == ["own"]
        assert page.items[-1].id == "own"

    @pytest.mark.parametrize(("burst", "seen"), [(False, 0), (True, 1)], ids=["one by one", "burst"])
    async def test_in_a_burst_later_events_are_delivered_before_the_waiting_code_runs(
        self, burst: bool, seen: int
    ) -> None:
        world, service, client = await online(burst=burst)
        service.hold()
        events_at_reply: list[int] = []

        async def ask() -> None:
            await client.session.get_items(service.jid, "blog")
            events_at_reply.append(len(client.events))

        asked = asyncio.create_task(ask())
        await world.settle()
        service.release()
        world.enqueue(service.publish, "blog", "after the reply")
        await asked
        assert events_at_reply == [seen]

    async def test_a_listener_that_raises_does_not_stop_the_world(self) -> None:
        _, service, client = await online()
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context.get("exception")))
        client.services = None

        def broken(service: str) -> bool:
            raise ArithmeticError(service)

        client.solicited = broken  # type: ignore[method-assign]
        service.publish("blog", "second")
        page = await client.session.get_items(service.jid, "blog")
        assert len(page.items) == 2
        assert [type(error) for error in reported] == [ArithmeticError]


def test_a_world_can_be_built_before_a_loop_runs() -> None:
    world = World()
    world.account(ALICE)
    service = world.service("pubsub.example.org")
    service.create_node("blog")
    service.add_subscription("blog", ALICE)
    client = Client(world, ALICE)
    client.session.connect()
    service.publish("blog", "1")
    asyncio.run(world.settle())
    assert client.told == ["connecting", "online", "started"]

"""Access in the fake: the table "Errors" of what real servers do, and who sees what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from pubsub_cached.errors import StanzaError, Timeout
from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Client, FakeSession, Profile, Service, World
from pubsub_cached.xmpp.port import ItemsEvent, Subscription

ALICE, BOB, EVE = "alice@example.org", "bob@example.org", "eve@example.org"


async def scene(profile: Profile) -> tuple[World, Service, FakeSession, Client]:
    """Alice online; Bob, her contact in the group "friends", owns a service's nodes."""
    world = World()
    for jid in (ALICE, BOB, EVE):
        world.account(jid, pep=profile)
    world.befriend(ALICE, BOB, groups=["friends"])
    service = world.service("pubsub.example.org", profile=profile)
    client = Client(world, ALICE)
    return world, service, await client.start(), client


async def refused(asked: Awaitable[object]) -> tuple[str, str]:
    """The condition and pubsub condition with which a request is refused."""
    with pytest.raises(StanzaError) as caught:
        await asked
    return caught.value.condition, caught.value.pubsub_condition


@pytest.mark.parametrize(
    ("profile", "model", "expected"),
    [
        (PROSODY, "whitelist", ("forbidden", "")),
        (PROSODY, "presence", ("forbidden", "")),
        (PROSODY, "roster", ("forbidden", "")),
        (EJABBERD, "whitelist", ("not-allowed", "closed-node")),
        (EJABBERD, "presence", ("not-authorized", "presence-subscription-required")),
        (EJABBERD, "roster", ("not-authorized", "not-in-roster-group")),
    ],
    ids=lambda value: value.name if isinstance(value, Profile) else str(value),
)
async def test_no_access_is_refused_in_each_server_s_words(
    profile: Profile, model: str, expected: tuple[str, str]
) -> None:
    _, service, session, _ = await scene(profile)
    service.create_node("closed", owner=EVE, access_model=model, roster_groups=["family"])
    service.publish("closed", "1")
    assert await refused(session.get_items(service.jid, "closed")) == expected
    assert await refused(session.disco_items(service.jid, "closed")) == expected
    assert await refused(session.subscribe(service.jid, "closed")) == expected
    assert service.visible("closed", ALICE) == []
    assert len(service.visible("closed", EVE)) == 1


@pytest.mark.parametrize(
    ("model", "groups", "seen"),
    [
        ("open", [], {ALICE, BOB, EVE}),
        ("presence", [], {ALICE, BOB}),
        ("roster", ["friends"], {ALICE, BOB}),
        ("roster", ["family"], {BOB}),
        ("whitelist", [], {BOB}),
        ("authorize", [], {BOB}),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(sorted(value)),
)
async def test_each_access_model_lets_in_whom_it_says(model: str, groups: list[str], seen: set[str]) -> None:
    _, service, _, _ = await scene(PROSODY)
    service.create_node("blog", owner=BOB, access_model=model, roster_groups=groups)
    service.publish("blog", "1")
    assert {jid for jid in (ALICE, BOB, EVE) if service.visible("blog", jid)} == seen


async def test_affiliations_outrank_the_access_model() -> None:
    _, service, session, _ = await scene(EJABBERD)
    service.create_node("closed", access_model="whitelist")
    service.create_node("public")
    for name in ("closed", "public"):
        service.publish(name, "1")
    service.set_affiliation("closed", ALICE, "member")
    assert len((await session.get_items(service.jid, "closed")).items) == 1
    for affiliation in ("outcast", "publish-only"):
        service.set_affiliation("public", ALICE, affiliation)
        assert await refused(session.get_items(service.jid, "public")) == ("forbidden", "")


async def test_an_approved_subscriber_may_read() -> None:
    _, service, session, _ = await scene(PROSODY)
    service.create_node("asked", access_model="authorize")
    service.publish("asked", "1")
    assert (await session.subscribe(service.jid, "asked")).state == "pending"
    assert await refused(session.get_items(service.jid, "asked")) == ("forbidden", "")
    service.approve("asked", ALICE)
    assert len((await session.get_items(service.jid, "asked")).items) == 1


async def test_an_outcast_is_forbidden_to_read_while_events_keep_arriving() -> None:
    world, service, session, client = await scene(PROSODY)
    service.create_node("blog")
    await session.subscribe(service.jid, "blog")
    service.set_affiliation("blog", ALICE, "outcast")
    service.publish("blog", "1")
    await world.settle()
    assert [type(event) for event in client.events] == [ItemsEvent]
    assert await refused(session.get_items(service.jid, "blog")) == ("forbidden", "")


class TestTightened:
    """A node that was open becomes a whitelist; nothing is said."""

    async def tighten(self, profile: Profile) -> tuple[World, Service, FakeSession, Client]:
        """Alice is subscribed when it happens."""
        world, service, session, client = await scene(profile)
        service.create_node("blog", send_last="never")
        await session.subscribe(service.jid, "blog")
        service.configure("blog", access_model="whitelist")
        service.publish("blog", "secret")
        await world.settle()
        return world, service, session, client

    async def test_prosody_drops_the_subscription_and_does_not_restore_it(self) -> None:
        world, service, session, client = await self.tighten(PROSODY)
        assert await refused(session.get_items(service.jid, "blog")) == ("forbidden", "")
        service.configure("blog", access_model="open")
        service.publish("blog", "public")
        await world.settle()
        assert client.events == []
        assert await session.subscriptions(service.jid) == ()
        assert len((await session.get_items(service.jid, "blog")).items) == 2

    async def test_ejabberd_lets_subscribers_keep_access(self) -> None:
        _, service, session, client = await self.tighten(EJABBERD)
        assert len(client.events) == 1
        assert len((await session.get_items(service.jid, "blog")).items) == 1
        assert service.visible("blog", EVE) == []

    async def test_libervia_stays_silent(self) -> None:
        _, service, session, client = await self.tighten(LIBERVIA)
        assert client.events == []
        assert (await refused(session.get_items(service.jid, "blog")))[0] == "not-allowed"


class TestPep:
    """Accounts' services, whose errors are ambiguous on Prosody."""

    @pytest.mark.parametrize(
        ("profile", "expected"), [(PROSODY, "forbidden"), (EJABBERD, "item-not-found")], ids=["prosody", "ejabberd"]
    )
    async def test_an_unknown_user_is_refused(self, profile: Profile, expected: str) -> None:
        _, _, session, _ = await scene(profile)
        assert await refused(session.get_items("nobody@example.org", "blog")) == (expected, "")

    async def test_prosody_answers_a_stranger_the_same_for_absent_and_closed_nodes(self) -> None:
        world, _, session, _ = await scene(PROSODY)
        world.services[EVE].publish("there", "1")
        answers = [await refused(session.get_items(EVE, node)) for node in ("there", "absent")]
        assert answers == [("forbidden", "")] * 2

    async def test_a_contact_learns_that_a_node_is_absent(self) -> None:
        for profile in (PROSODY, EJABBERD):
            _, _, session, _ = await scene(profile)
            assert await refused(session.get_items(BOB, "absent")) == ("item-not-found", "")
            assert await refused(session.get_items(ALICE, "absent")) == ("item-not-found", "")

    async def test_a_contact_reads_and_a_stranger_does_not(self) -> None:
        world, _, session, _ = await scene(EJABBERD)
        for jid in (BOB, EVE):
            world.services[jid].publish("mood", "1")
        assert len((await session.get_items(BOB, "mood")).items) == 1
        assert await refused(session.get_items(EVE, "mood")) == ("not-authorized", "presence-subscription-required")


@pytest.mark.parametrize(
    ("profile", "expected"), [(PROSODY, "not-allowed"), (EJABBERD, "remote-server-not-found")], ids=["P", "E"]
)
async def test_a_domain_that_cannot_be_reached_is_the_own_server_s_error(profile: Profile, expected: str) -> None:
    _, _, session, _ = await scene(profile)
    assert await refused(session.get_items("pubsub.example.net", "blog")) == (expected, "")


class TestSubscriptions:
    """Subscriptions of the bare JID."""

    async def test_subscribing_and_unsubscribing_is_listed(self) -> None:
        _, service, session, _ = await scene(EJABBERD)
        for name in ("one", "two"):
            service.create_node(name)
            made = await session.subscribe(service.jid, name)
            assert made.subid
        listed = await session.subscriptions(service.jid)
        assert [(line.node, line.jid, line.state) for line in listed] == [
            ("one", ALICE, "subscribed"),
            ("two", ALICE, "subscribed"),
        ]
        assert await session.subscribe(service.jid, "two") == listed[1]
        await session.unsubscribe(service.jid, "one")
        assert await session.subscriptions(service.jid) == listed[1:]
        assert await refused(session.unsubscribe(service.jid, "one")) == ("unexpected-request", "not-subscribed")

    async def test_prosody_gives_no_subids(self) -> None:
        _, service, session, _ = await scene(PROSODY)
        service.create_node("blog")
        assert await session.subscribe(service.jid, "blog") == Subscription("blog", ALICE, "subscribed")

    async def test_prosody_never_answers_subscriptions_once_a_node_with_subscribers_was_deleted(self) -> None:
        _, service, session, _ = await scene(PROSODY)
        for name in ("empty", "read", "kept"):
            service.create_node(name)
        await session.subscribe(service.jid, "read")
        await session.subscribe(service.jid, "kept")
        service.delete("empty")
        assert len(await session.subscriptions(service.jid)) == 2
        service.delete("read")
        with pytest.raises(Timeout):
            await session.subscriptions(service.jid)
        assert len(await session.subscriptions(service.jid, "kept")) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda session, jid: session.get_items(jid, "absent"),
        lambda session, jid: session.disco_items(jid, "absent"),
        lambda session, jid: session.subscribe(jid, "absent"),
        lambda session, jid: session.unsubscribe(jid, "absent"),
        lambda session, jid: session.subscriptions(jid, "absent"),
    ],
    ids=["get_items", "disco_items", "subscribe", "unsubscribe", "subscriptions"],
)
async def test_an_absent_node_is_item_not_found(ask: Callable[[FakeSession, str], Awaitable[object]]) -> None:
    _, service, session, _ = await scene(PROSODY)
    assert await refused(ask(session, service.jid)) == ("item-not-found", "")

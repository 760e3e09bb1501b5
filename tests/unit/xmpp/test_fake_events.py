"""Events of the fake: the table "Events" of what real servers do, row by row, and who gets them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pubsub_cached.xmpp.fake import EJABBERD, LIBERVIA, PROSODY, Client, Profile, Service, World
from pubsub_cached.xmpp.port import (
    BounceEvent,
    ConfigurationEvent,
    DeleteEvent,
    Event,
    Item,
    ItemsEvent,
    PurgeEvent,
    RosterEvent,
    SubscriptionEvent,
)

ALICE, BOB = "alice@example.org", "bob@example.org"
Change = Callable[[Service], object]

COLUMNS = {"P": PROSODY, "E": EJABBERD, "E PEP": EJABBERD, "L": LIBERVIA}


def lower_then_publish(service: Service) -> None:
    """One publish that evicts several items."""
    service.configure("blog", max_items=2)
    service.publish("blog", "d")


ROWS: dict[str, Change] = {
    "publish": lambda service: service.publish("blog", "d", "<new/>"),
    "overwrite": lambda service: service.publish("blog", "a", "<new/>"),
    "evicted by max_items": lambda service: service.publish("full", "d"),
    "one publish evicts several": lower_then_publish,
    "retract without notify": lambda service: service.retract("blog", "a", notify=False),
    "retract with notify": lambda service: service.retract("blog", "a", notify=True),
    "purge": lambda service: service.purge("blog"),
    "delete": lambda service: service.delete("blog", redirect="xmpp:elsewhere.example.org?;node=blog"),
    "configuration": lambda service: service.configure("blog", title="Another title"),
    "access to whitelist": lambda service: service.configure("blog", access_model="whitelist"),
    "expiry": lambda service: service.expire_items("blog", "a"),
}

# What comes besides the event of a publish itself, which always does.
EXPECTED: dict[str, dict[str, str]] = {
    "publish": {"P": "d", "E": "d", "E PEP": "d", "L": "d"},
    "overwrite": {"P": "a", "E": "a", "E PEP": "a", "L": "a"},
    "evicted by max_items": {"P": "d", "E": "d -a", "E PEP": "d", "L": "d"},
    "one publish evicts several": {"P": "d", "E": "d -ab", "E PEP": "d", "L": "d"},
    "retract without notify": {"P": "", "E": "-a", "E PEP": "", "L": ""},
    "retract with notify": {"P": "-a", "E": "-a", "E PEP": "", "L": "-a"},
    "purge": {"P": "purge", "E": "purge", "E PEP": "", "L": "purge"},
    "delete": {"P": "delete", "E": "", "E PEP": "", "L": "delete"},
    "configuration": {"P": "", "E": "", "E PEP": "", "L": ""},
    "access to whitelist": {"P": "", "E": "", "E PEP": "", "L": ""},
    "expiry": {"P": "", "E": "", "E PEP": "", "L": ""},
}


def words(events: list[Event]) -> str:
    """Events in short: ids, retracted ones after a dash, kinds."""
    said: list[str] = []
    for event in events:
        match event:
            case ItemsEvent():
                said += [item.id for item in event.items] + [f"-{item_id}" for item_id in event.retracted]
            case _:
                said.append(type(event).__name__.removesuffix("Event").lower())
    return " ".join(said)


async def subscriber(profile: Profile, *, pep: bool = False) -> tuple[World, Service, Client]:
    """Alice, subscribed to a roomy node with three items and to one that is full, both open."""
    world = World()
    world.account(ALICE, pep=profile)
    service = world.account(BOB, pep=profile).pep if pep else world.service("pubsub.example.org", profile=profile)
    for name, most in (("blog", 100), ("full", 3)):
        service.create_node(name, access_model="open", max_items=most, send_last="never")
        for item_id in "abc":
            service.publish(name, item_id)
        service.add_subscription(name, ALICE)
    client = Client(world, ALICE)
    await client.start()
    return world, service, client


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", ROWS)
async def test_a_change_is_told_as_each_server_does(row: str, column: str) -> None:
    """
    server-facts, Events: publish, overwrite
    server-facts, Events: evicted by max_items
    server-facts, Events: one publish evicts several
    server-facts, Events: retract without notify
    server-facts, Events: retract with notify
    server-facts, Events: purge
    server-facts, Events: delete
    server-facts, Events: configuration
    server-facts, Events: access → whitelist
    """
    world, service, client = await subscriber(COLUMNS[column], pep=column == "E PEP")
    ROWS[row](service)
    await world.settle()
    assert words(client.events) == EXPECTED[row][column]


async def test_ejabberd_tells_of_delete_and_configuration_only_where_the_node_asks_for_it() -> None:
    world, service, client = await subscriber(EJABBERD)
    service.create_node("told", notify_delete=True, notify_config=True)
    service.add_subscription("told", ALICE)
    service.configure("told", title="Another")
    service.delete("told")
    await world.settle()
    assert client.events == [
        ConfigurationEvent(service=service.jid, node="told"),
        DeleteEvent(service=service.jid, node="told"),
    ]


async def test_a_test_may_say_whether_a_change_is_told() -> None:
    world, service, client = await subscriber(PROSODY)
    service.publish("blog", "silent", notify=False)
    service.configure("blog", title="Another", notify=True)
    service.purge("blog", notify=False)
    service.delete("blog", redirect="xmpp:new.example.org?;node=blog", notify=True)
    await world.settle()
    assert client.events == [
        ConfigurationEvent(service=service.jid, node="blog"),
        DeleteEvent(service=service.jid, node="blog", redirect="xmpp:new.example.org?;node=blog"),
    ]


@pytest.mark.parametrize("profile", [PROSODY, EJABBERD, LIBERVIA], ids=lambda profile: profile.name)
async def test_a_node_deleted_and_made_again_has_lost_its_subscriptions(profile: Profile) -> None:
    """
    server-facts, Events: node deleted and made again
    """
    world, service, client = await subscriber(profile)
    service.delete("blog", notify=False)
    service.create_node("blog")
    service.publish("blog", "new")
    await world.settle()
    assert client.events == []
    listed = await client.session.subscriptions(service.jid, "blog")
    # Prosody goes on saying so.
    assert [found.state for found in listed] == (["subscribed"] if profile.ghosts else [])
    await client.session.subscribe(service.jid, "blog")
    service.publish("blog", "newer")
    await world.settle()
    assert [item.id for item in client.events[-1].items] == ["newer"]


async def test_events_come_in_the_order_of_changes() -> None:
    world, service, client = await subscriber(PROSODY)
    for number in range(50):
        service.publish("blog", f"{number}", f"<n>{number}</n>")
    service.retract("blog", "7")
    service.purge("blog")
    await world.settle()
    assert words(client.events) == " ".join([*map(str, range(50)), "-7", "purge"])


async def test_a_node_may_send_events_without_payload() -> None:
    world, service, client = await subscriber(PROSODY)
    service.create_node("short", deliver_payloads=False)
    service.add_subscription("short", ALICE)
    service.publish("short", "1", "<long/>", publisher=BOB)
    await world.settle()
    assert client.events == [ItemsEvent(service=service.jid, node="short", items=(Item("1", publisher=BOB),))]
    assert service.items("short") == [Item("1", "<long/>", "", BOB)]


async def test_events_of_services_that_were_not_solicited_are_not_let_in() -> None:
    world, service, client = await subscriber(PROSODY)
    client.services = frozenset({"other.example.org"})
    service.publish("blog", "d")
    await world.settle()
    assert client.events == []


async def test_odd_events_are_injected_as_they_are() -> None:
    world, _, client = await subscriber(PROSODY)
    client.services = frozenset()
    odd: list[Event] = [
        ItemsEvent(service="evil.example.com", node="blog", retracted=("",)),
        ItemsEvent(service="evil.example.com", node="blog", items=(Item(""), Item("x"))),
        BounceEvent(service="evil.example.com", node=""),
    ]
    for event in odd * 2:
        world.inject(ALICE, event)
    await world.settle()
    assert client.events == odd * 2


class TestSubscriptionChanges:
    """What the service does to a subscription."""

    async def test_a_subscription_dropped_silently_ends_events_without_a_word(self) -> None:
        world, service, client = await subscriber(PROSODY)
        service.drop_subscription("blog", ALICE)
        service.publish("blog", "d")
        await world.settle()
        assert client.events == []

    async def test_a_subscription_dropped_aloud_is_an_event(self) -> None:
        world, service, client = await subscriber(PROSODY)
        service.drop_subscription("blog", ALICE, notify=True)
        await world.settle()
        assert client.events == [SubscriptionEvent(service=service.jid, node="blog", state="none")]

    async def test_a_pending_subscription_brings_nothing_until_it_is_approved(self) -> None:
        world, service, client = await subscriber(PROSODY)
        service.create_node("closed", access_model="authorize")
        assert (await client.session.subscribe(service.jid, "closed")).state == "pending"
        service.publish("closed", "1")
        service.approve("closed", ALICE)
        service.publish("closed", "2")
        await world.settle()
        assert words(client.events) == "subscription 2"


class TestPep:
    """Events of accounts, with ``+notify`` (XEP-0163)."""

    def scene(self, profile: Profile) -> tuple[World, Client]:
        """Alice, who has an interest in moods, and Bob, a contact."""
        world = World()
        world.account(ALICE, pep=profile)
        world.account(BOB, pep=profile)
        world.befriend(ALICE, BOB)
        return world, Client(world, ALICE, interests={"mood"})

    async def test_interests_bring_events_of_contacts_and_of_the_own_account(self) -> None:
        world, client = self.scene(EJABBERD)
        await client.start()
        world.accounts[BOB].pep.publish("mood", "1")
        world.accounts[BOB].pep.publish("tune", "2")
        world.accounts[ALICE].pep.publish("mood", "3")
        await world.settle()
        assert [(event.service, words([event])) for event in client.events] == [(BOB, "1"), (ALICE, "3")]

    async def test_pep_events_come_twice_on_prosody(self) -> None:
        world, client = self.scene(PROSODY)
        await client.start()
        world.accounts[BOB].pep.publish("mood", "1")
        await world.settle()
        assert words(client.events) == "1 1"

    async def test_a_stranger_s_events_do_not_come_even_from_an_open_node(self) -> None:
        world, client = self.scene(EJABBERD)
        world.account("eve@example.org", pep=EJABBERD).pep.create_node("mood", access_model="open")
        await client.start()
        world.services["eve@example.org"].publish("mood", "1")
        await world.settle()
        assert client.events == []

    async def test_a_contact_who_may_not_read_a_node_gets_neither_its_last_item_nor_events(self) -> None:
        world, client = self.scene(PROSODY)
        pep = world.accounts[BOB].pep
        pep.create_node("mood", access_model="whitelist")
        pep.publish("mood", "1")
        await client.start()
        pep.publish("mood", "2")
        await world.settle()
        assert client.events == []

    async def test_the_last_item_is_the_one_published_last_even_where_it_keeps_its_place(self) -> None:
        world, client = self.scene(EJABBERD)
        pep = world.accounts[ALICE].pep
        pep.create_node("mood", max_items=5)
        for item_id in ("a", "b", "a"):
            pep.publish("mood", item_id)
        await client.start()
        assert [item.id for item in pep.items("mood")] == ["a", "b"]
        assert words(client.events) == "a"

    async def test_an_ended_friendship_ends_events(self) -> None:
        world, client = self.scene(EJABBERD)
        await client.start()
        world.unfriend(ALICE, BOB)
        world.accounts[BOB].pep.publish("mood", "1")
        await world.settle()
        assert client.events == [RosterEvent(service=BOB, node="")]
        assert client.session.contacts == frozenset()

    async def test_a_new_contact_s_last_items_come_after_the_roster_s_word(self) -> None:
        world = World()
        world.account(ALICE)
        world.account(BOB).pep.publish("mood", "1")
        client = Client(world, ALICE, interests=["mood"])
        await client.start()
        world.befriend(ALICE, BOB, groups=["friends"])
        await world.settle()
        assert client.events[0] == RosterEvent(service=BOB, node="")
        assert words(client.events[1:]) == "1"
        assert client.session.groups(BOB) == {"friends"}

    async def test_a_roster_changed_meanwhile_is_told_by_the_next_session(self) -> None:
        world, client = self.scene(PROSODY)
        await client.start()
        world.cut(ALICE)
        world.unfriend(ALICE, BOB)
        await world.settle()
        assert client.session.contacts == {BOB}
        world.restore(ALICE)
        await world.settle()
        assert client.told[-2:] == ["started", "event"]
        assert client.events == [RosterEvent(service=BOB, node="")]
        assert client.session.contacts == frozenset()

    async def test_presence_goes_one_way_where_the_roster_says_so(self) -> None:
        world = World()
        world.account(ALICE)
        world.account(BOB)
        world.befriend(ALICE, BOB, mutual=False)
        alice, bob = Client(world, ALICE), Client(world, BOB)
        assert (await alice.start()).contacts == {BOB}
        assert (await bob.start()).contacts == frozenset()

    async def test_presence_brings_the_last_items_looking_live(self) -> None:
        world, client = self.scene(PROSODY)
        pep = world.accounts[BOB].pep
        pep.create_node("mood", max_items=5)
        pep.publish("mood", "old")
        pep.publish("mood", "new")
        world.accounts[ALICE].pep.publish("mood", "own")
        await client.start()
        assert client.told == ["connecting", "online", "started", "event", "event"]
        assert words(client.events) == "own new"
        assert not any(event.delayed for event in client.events)

    @pytest.mark.parametrize(("available", "expected"), [(False, ""), (True, "1")], ids=["offline", "online"])
    async def test_ejabberd_pushes_a_contact_s_last_items_only_while_the_contact_is_online(
        self, available: bool, expected: str
    ) -> None:
        world, client = self.scene(EJABBERD)
        world.accounts[BOB].pep.publish("mood", "1")
        world.accounts[BOB].available = available
        await client.start()
        assert words(client.events) == expected

    @pytest.mark.parametrize(("profile", "expected"), [(PROSODY, ""), (EJABBERD, "1")], ids=["prosody", "ejabberd"])
    async def test_only_ejabberd_pushes_the_last_item_of_subscribed_nodes(
        self, profile: Profile, expected: str
    ) -> None:
        world, client = self.scene(profile)
        service = world.service("pubsub.example.org", profile=profile)
        service.create_node("blog")
        service.publish("blog", "1")
        service.add_subscription("blog", ALICE)
        await client.start()
        assert words(client.events) == expected

    async def test_an_interest_added_later_brings_only_its_own_last_items(self) -> None:
        world, client = self.scene(EJABBERD)
        world.accounts[ALICE].pep.publish("mood", "1")
        world.accounts[ALICE].pep.publish("tune", "2")
        await client.start()
        client.events.clear()
        client.session.set_interests(frozenset({"mood", "tune"}))
        await world.settle()
        assert words(client.events) == "2"
        client.session.set_interests(frozenset({"tune"}))
        await world.settle()
        world.accounts[ALICE].pep.publish("mood", "3")
        await world.settle()
        assert words(client.events) == "2"

    async def test_nodes_that_do_not_send_last_items_stay_silent_at_presence(self) -> None:
        world, client = self.scene(PROSODY)
        world.accounts[ALICE].pep.create_node("mood", send_last="never")
        world.accounts[ALICE].pep.publish("mood", "1")
        await client.start()
        assert client.events == []


async def test_subscribing_brings_the_last_item_after_the_reply_where_configured() -> None:
    world, service, client = await subscriber(PROSODY)
    service.create_node("told", send_last="on_sub")
    service.publish("told", "1")
    subscription = await client.session.subscribe(service.jid, "told")
    assert (subscription.state, client.events) == ("subscribed", [])
    await world.settle()
    assert words(client.events) == "1"


async def test_a_purge_event_names_service_and_node() -> None:
    world, service, client = await subscriber(LIBERVIA)
    service.purge("blog")
    await world.settle()
    assert client.events == [PurgeEvent(service=service.jid, node="blog")]

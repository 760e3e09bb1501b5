"""Requests: answered by whom they were sent to, or failed in time."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET

import pytest

from pubsub_cached.errors import InvalidArgs, Offline, StanzaError, Timeout
from pubsub_cached.xmpp.requests import Requests
from pubsub_cached.xmpp.roster import Roster, differing

ACCOUNT = "alice@example.org"
BOUND = f"{ACCOUNT}/here"
SERVICE = "pubsub.example.org"


class Wire:
    """What was written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, str, ET.Element]] = []

    def write(self, kind: str, to: str, id_: str, child: ET.Element) -> None:
        self.written.append((kind, to, id_, child))

    async def last(self) -> str:
        """The id of the request that is about to be written."""
        while not self.written:
            await asyncio.sleep(0)
        return self.written[-1][2]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def requests(wire: Wire) -> Requests:
    requests = Requests(ACCOUNT)
    requests.open(wire.write, BOUND)
    return requests


def reply(id_: str, sender: str, kind: str = "result", content: str = "") -> ET.Element:
    written = f"from='{sender}'" if sender else ""
    return ET.fromstring(f"<iq xmlns='jabber:client' id='{id_}' {written} type='{kind}'>{content}</iq>")


@pytest.mark.parametrize(
    ("service", "sender"),
    [(SERVICE, SERVICE), (SERVICE, "PubSub.example.org"), (ACCOUNT, ACCOUNT), (ACCOUNT, BOUND), (ACCOUNT, "")],
)
async def test_a_reply_of_the_service_is_taken(requests: Requests, wire: Wire, service: str, sender: str) -> None:
    asked = asyncio.create_task(requests.ask("get", service, ET.Element("q")))
    answer = reply(await wire.last(), sender)
    assert requests.answered(answer)
    assert await asked is answer


@pytest.mark.parametrize(
    ("service", "sender"),
    [
        (SERVICE, "mallory@example.org"),
        (SERVICE, ""),
        (SERVICE, ACCOUNT),
        (SERVICE, f"{SERVICE}/x"),
        (ACCOUNT, f"{ACCOUNT}/elsewhere"),
        (ACCOUNT, "example.org"),
        ("example.org", ""),
    ],
)
async def test_a_reply_of_somebody_else_is_ignored(requests: Requests, wire: Wire, service: str, sender: str) -> None:
    asked = asyncio.create_task(requests.ask("get", service, ET.Element("q")))
    id_ = await wire.last()
    assert not requests.answered(reply(id_, sender))
    assert not requests.answered(reply("other", service))
    assert requests.answered(reply(id_, service))
    await asked


async def test_an_error_is_raised(requests: Requests, wire: Wire) -> None:
    asked = asyncio.create_task(requests.ask("get", SERVICE, ET.Element("q"), subject="'n' at it"))
    error = "<error><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    requests.answered(reply(await wire.last(), SERVICE, "error", error))
    with pytest.raises(StanzaError, match="forbidden for 'n' at it"):
        await asked


async def test_silence_times_out_with_a_sentence(requests: Requests, wire: Wire) -> None:
    with pytest.raises(Timeout, match=rf"{SERVICE} did not answer within 0\.01 seconds.*'n'"):
        await requests.ask("get", SERVICE, ET.Element("q"), subject="'n'", timeout=0.01)
    assert not requests.answered(reply(wire.written[0][2], SERVICE))


async def test_closing_fails_what_is_under_way(requests: Requests, wire: Wire) -> None:
    asked = [asyncio.create_task(requests.ask("get", SERVICE, ET.Element("q"))) for _ in range(3)]
    await wire.last()
    requests.close()
    for each in asked:
        with pytest.raises(Offline, match=ACCOUNT):
            await each


async def test_closing_fails_others_when_a_request_was_given_up_in_that_moment(requests: Requests, wire: Wire) -> None:
    given_up, waits = (asyncio.create_task(requests.ask("get", SERVICE, ET.Element("q"))) for _ in range(2))
    while len(wire.written) < 2:
        await asyncio.sleep(0)
    given_up.cancel()
    requests.close()
    with pytest.raises(Offline, match=ACCOUNT):
        await waits
    assert given_up.cancelled()


async def test_what_no_stream_could_carry_is_refused_and_not_written(requests: Requests, wire: Wire) -> None:
    with pytest.raises(InvalidArgs, match=r"U\+0001"):
        await requests.ask("get", SERVICE, ET.Element("q", node="blog\x01"))
    assert wire.written == []


async def test_nothing_is_written_while_closed(requests: Requests, wire: Wire) -> None:
    requests.close()
    with pytest.raises(Offline):
        await requests.ask("set", SERVICE, ET.Element("q"))
    requests.open(wire.write, BOUND)
    assert wire.written == []


async def test_a_cancelled_request_takes_no_reply(requests: Requests, wire: Wire) -> None:
    asked = asyncio.create_task(requests.ask("get", SERVICE, ET.Element("q")))
    id_ = await wire.last()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert not requests.answered(reply(id_, SERVICE))


class TestRoster:
    @staticmethod
    def push(items: str, sender: str = "") -> ET.Element:
        return reply("1", sender, "set", f"<query xmlns='jabber:iq:roster'>{items}</query>")

    def test_contacts_are_those_whose_presence_comes(self) -> None:
        roster = Roster(ACCOUNT)
        roster.replace(
            self.push(
                "".join(f"<item jid='{each}@x' subscription='{each}'/>" for each in ("to", "both", "from", "none"))
                + "<item jid='pending@x' ask='subscribe'/>"
            )
        )
        assert roster.contacts == {"to@x", "both@x"}

    def test_pushes_keep_them_up_to_date(self) -> None:
        roster = Roster(ACCOUNT)
        assert roster.pushed(self.push("<item jid='Bob@x' subscription='both'/>", ACCOUNT))
        assert roster.contacts == {"bob@x"}
        assert roster.pushed(self.push("<item jid='bob@x' subscription='remove'/>"))
        assert roster.contacts == frozenset()

    def test_presence_and_groups_are_what_differs(self) -> None:
        roster = Roster(ACCOUNT)
        roster.replace(self.push("<item jid='a@x' subscription='to'/><item jid='b@x' subscription='both'/>"))
        before = dict(roster.entries)
        assert roster.pushed(self.push("<item jid='a@x' subscription='both' name='A'/>")) == {}
        assert differing(before, roster.entries) == []
        pushed = roster.pushed(self.push("<item jid='a@x' subscription='to'><group>friends</group></item>"))
        assert pushed == {"a@x": frozenset()}
        assert roster.pushed(self.push("<item jid='b@x' subscription='from'/>")) == {"b@x": frozenset()}
        assert roster.pushed(self.push("<item jid='c@x' subscription='none'/>")) == {}
        assert roster.entries == {"a@x": {"friends"}}
        assert differing(before, roster.entries) == ["a@x", "b@x"]
        assert roster.pushed(self.push("<item jid='c@x' subscription='to'/>")) == {"c@x": None}

    @pytest.mark.parametrize("sender", ["mallory@example.org", "example.org", "alice@example.com"])
    def test_pushes_of_others_are_refused(self, sender: str) -> None:
        roster = Roster(ACCOUNT)
        assert not roster.pushed(self.push("<item jid='mallory@x' subscription='both'/>", sender))
        assert roster.contacts == frozenset()

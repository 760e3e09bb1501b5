"""Replies and rosters that are large: nobody waits for them longer than for a slice of what they take."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from typing import Any

from benchmarks import content
from pubsub_cached.xmpp import payload
from pubsub_cached.xmpp.client import Client
from pubsub_cached.xmpp.port import Endpoint
from pubsub_cached.xmpp.session import Session
from tests.support.callbacks import watched
from tests.support.recorder import Recorder

ACCOUNT = "alice@localhost"
ITEMS = 2_000
# Of the processor's time for the whole, one callback may take this part.
PART = 1 / 6
# What a transport hands on at once.
READ = 256 * 1024
GREETING = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' from='localhost' "
    b"version='1.0'>"
)
ROSTER = "<query xmlns='jabber:iq:roster'>{}</query>"
CONTACT = "<item jid='contact-{}@localhost' name='Contact' subscription='both'><group>{}</group></item>"
REPLY = "<iq type='result' id='{}' from='{}'>{}</iq>"


class Transport(asyncio.Transport):
    """Hands on what the server says for as long as it is read."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self._left: list[bytes] = []
        self._reading = True

    def say(self, text: str) -> None:
        said = text.encode()
        self._left += [said[start : start + READ] for start in range(0, len(said), READ)]
        self.resume_reading()

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        asyncio.get_running_loop().call_soon(self._read)

    def _read(self) -> None:
        if self._reading and self._left:
            self._client.data_received(self._left.pop(0))
            if self._reading:
                self.resume_reading()

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return False


class Answered(Client):
    """A client whose server gives the same answer to every request in its namespace, and an empty one to others."""

    def __init__(self, session: Session, answer: str) -> None:
        super().__init__(Endpoint(ACCOUNT, "localhost", tls="none"), "", None, session)  # type: ignore[arg-type]
        self._answer = answer
        self._server = Transport(self)
        self.connection_made(self._server)
        self.data_received(GREETING)
        self.authenticated = True

    def request(self, kind: str, to: str, id_: str, child: ET.Element) -> None:
        said = self._answer if payload.namespace(child) in self._answer else ""
        self._server.say(REPLY.format(id_, to, said))


def answered(answer: str) -> Session:
    """A session that gets the same answer to every request in its namespace."""
    session = Session(Endpoint(ACCOUNT, "localhost", tls="none"), lambda: "", Recorder())
    session.attached(Answered(session, answer))
    session.up(True)
    return session


def roster(contacts: int) -> str:
    """A roster of so many."""
    return ROSTER.format("".join(CONTACT.format(number, "Friends") for number in range(contacts)))


class Contacts(dict[str, frozenset[str]]):
    """A roster of which one contact may be looked at, and not all."""

    def _all(self, *_: object) -> Any:
        raise AssertionError("All contacts were looked at.")

    __iter__ = __len__ = __eq__ = __or__ = __ror__ = keys = values = items = copy = _all  # type: ignore[assignment]


async def test_all_items_of_a_node_are_read_in_slices() -> None:
    items = "".join(f"<item id='{number}'>{content.entry(f'post-{number}', 1500)}</item>" for number in range(ITEMS))
    answer = f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'>{items}</items></pubsub>"
    session = answered(answer)
    with watched() as found:
        page = await asyncio.create_task(session.get_items(ACCOUNT, "n"))
    assert found.longest[0].seconds < found.total * PART, str(found)
    assert [item.id for item in page.items] == [str(number) for number in range(ITEMS)]
    assert all(item.payload for item in page.items)


async def test_the_library_makes_no_object_of_what_was_asked_for() -> None:
    """It would make one of each contact in a roster as well."""
    seen: list[Any] = []

    def see(stanza: Any) -> Any:
        seen.append(stanza)
        return stanza

    session = Session(Endpoint(ACCOUNT, "localhost", tls="none"), lambda: "", Recorder())
    client = Answered(session, roster(2))
    client.add_filter("in", see)
    session.attached(client)
    await session.prepare()
    assert session.contacts == {"contact-0@localhost", "contact-1@localhost"}
    assert not seen
    client.data_received(b"<iq type='get' id='1' from='localhost'><query xmlns='jabber:iq:version'/></iq>")
    assert [stanza["id"] for stanza in seen] == ["1"]


async def test_a_push_of_a_contact_looks_at_no_others() -> None:
    """Thousands come where a group of the server's is shared."""
    session = answered(roster(2))
    await session.prepare()
    session._roster.entries = Contacts(session._roster.entries)
    for number in range(2):
        push = f"<iq type='set' id='{number}'>{ROSTER.format(CONTACT.format(number, 'Others'))}</iq>"
        assert session.iq(ET.fromstring(push))
        assert session.groups(f"contact-{number}@localhost") == {"Others"}

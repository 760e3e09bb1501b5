"""The roster of a session, and whom it blocks: what is said at its beginning, and what is changed meanwhile."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET

import pytest
from slixmpp import JID

from pubsub_cached.xmpp.port import BounceEvent, Endpoint, RosterEvent
from pubsub_cached.xmpp.session import Session
from tests.support.recorder import Recorder

ACCOUNT = "alice@example.org"
ROSTER = "<query xmlns='jabber:iq:roster'>{}</query>"
# Nothing is known of the server, as where it does not answer in time.
FEATURES = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
PUSH = "<iq xmlns='jabber:client' type='set' id='push'{}><{} xmlns='urn:xmpp:blocking'>{}</{}></iq>"


class Server:
    """In place of the connection of a session: a server that answers when it is told to."""

    unwritten = False

    def __init__(self, session: Session) -> None:
        self.boundjid = JID(f"{ACCOUNT}/here")
        self._session = session
        self._asked: list[tuple[str, str, str]] = []
        # The request of who is to be told whom the account blocks.
        self.watched = ""

    def request(self, kind: str, to: str, id_: str, child: ET.Element) -> None:
        if child.tag == "{urn:xmpp:blocking}blocklist":
            self.watched = id_
        else:
            self._asked.append((child.tag.partition("}")[0].strip("{"), to, id_))

    def answer(self, request: ET.Element, child: ET.Element | None = None) -> None:
        """A push needs no more."""

    def announce(self, children: list[ET.Element]) -> None:
        """Nobody looks at it here."""

    def block(self, what: str, *jids: str, sender: str = "") -> bool:
        """Somebody is blocked or unblocked; whether the session takes it for a push."""
        written = "".join(f"<item jid='{jid}'/>" for jid in jids)
        return self._session.iq(ET.fromstring(PUSH.format(sender and f" from='{sender}'", what, written, what)))

    def resume(self) -> None:
        """The connection is lost, and its session goes on over another one."""
        self.watched = ""
        self._session.detached()
        self._session.attached(self)  # type: ignore[arg-type]
        self._session.up(resumed=True)

    async def begin(self, roster: dict[str, str], pushed: dict[str, str]) -> None:
        """A session, whose roster is changed while its features are not known yet."""
        self._session.attached(self)  # type: ignore[arg-type]
        preparing = asyncio.create_task(self._session.prepare())
        while len(self._asked) < 3:
            await asyncio.sleep(0)
        answers = sorted(self._asked, key=lambda asked: asked[0] != "jabber:iq:roster")
        self._asked.clear()
        for namespace, to, id_ in answers:
            said = ROSTER.format(items(roster)) if namespace == "jabber:iq:roster" else FEATURES
            iq = f"<iq xmlns='jabber:client' type='result' id='{id_}' from='{to}'>{said}</iq>"
            assert self._session.iq(ET.fromstring(iq))
            if namespace == "jabber:iq:roster" and pushed:
                self.push(pushed)
        await preparing
        self._session.up(False)

    def push(self, contacts: dict[str, str]) -> None:
        """The roster changes."""
        push = f"<iq xmlns='jabber:client' type='set' id='push'>{ROSTER.format(items(contacts))}</iq>"
        assert self._session.iq(ET.fromstring(push))


def items(contacts: dict[str, str]) -> str:
    return "".join(f"<item jid='{contact}' subscription='{how}'/>" for contact, how in contacts.items())


async def test_what_changes_while_a_session_begins_is_not_lost() -> None:
    session = Session(Endpoint(ACCOUNT, "localhost", tls="none"), lambda: "", Recorder())
    server = Server(session)
    await server.begin({"bob@x": "both", "carol@x": "both"}, {"bob@x": "remove", "dave@x": "to"})
    assert session.contacts == {"carol@x", "dave@x"}
    server.push({"bob@x": "both"})
    assert session.contacts == {"bob@x", "carol@x", "dave@x"}


async def test_contacts_that_change_while_a_session_begins_are_told() -> None:
    recorder = Recorder()
    session = Session(Endpoint(ACCOUNT, "localhost", tls="none"), lambda: "", recorder)
    server = Server(session)
    await server.begin({"bob@x": "both", "carol@x": "both"}, {})
    session.detached()
    await server.begin({"carol@x": "both"}, {"bob@x": "remove", "carol@x": "from"})
    assert recorder.events == [RosterEvent(service="bob@x", node=""), RosterEvent(service="carol@x", node="")]


@pytest.mark.parametrize("what", ["block", "unblock"])
@pytest.mark.parametrize(
    ("named", "about"),
    [
        (["eve@x"], ["eve@x"]),
        (["Bob@y/phone", "pubsub.x"], ["bob@y", "pubsub.x"]),
        (["y"], ["bob@y", "carol@y", "y"]),
        ([], ["bob@y", "carol@y", "dave@z"]),
    ],
)
async def test_events_may_be_missed_of_whoever_is_blocked_or_is_no_more(
    what: str, named: list[str], about: list[str]
) -> None:
    """XEP-0191 3.2, 3.3: who has asked for the list is told. It is asked for whatever the server says of itself."""
    recorder = Recorder()
    session = Session(Endpoint(ACCOUNT, "localhost", tls="none"), lambda: "", recorder)
    server = Server(session)
    await server.begin({"bob@y": "both", "carol@y": "to", "dave@z": "to"}, {})
    assert server.watched
    assert server.block(what, *named)
    assert recorder.events == [BounceEvent(service=service, node="") for service in about]


async def test_whom_the_account_blocks_is_asked_again_where_that_was_lost_with_the_connection() -> None:
    """A server that never got the request tells nothing, in a session that goes on as well."""
    session = Session(Endpoint(ACCOUNT, "localhost", tls="none"), lambda: "", Recorder())
    server = Server(session)
    await server.begin({}, {})
    server.resume()
    assert (asked := server.watched)
    assert session.iq(ET.fromstring(f"<iq xmlns='jabber:client' type='result' id='{asked}'/>"))
    server.resume()
    assert not server.watched


async def test_only_the_own_server_says_who_is_blocked() -> None:
    recorder = Recorder()
    session = Session(Endpoint(ACCOUNT, "localhost", tls="none"), lambda: "", recorder)
    server = Server(session)
    await server.begin({}, {})
    assert not server.block("block", "bob@y", sender="eve@x")
    assert not recorder.events

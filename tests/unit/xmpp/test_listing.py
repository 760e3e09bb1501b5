"""Lists that a service pages unasked: all of it, or none."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from pubsub_cached.errors import StanzaError
from pubsub_cached.xmpp import stanzas
from pubsub_cached.xmpp.asking import DISCO_ENTRIES, DISCO_PAGES, Asking
from pubsub_cached.xmpp.port import DiscoItem

ACCOUNT = "alice@example.org"
SERVICE = "pubsub.example.org"
ENTRY = f"<item jid='{SERVICE}' node='{{}}'/>"
PAGE = "<query xmlns='http://jabber.org/protocol/disco#items'>{}<set xmlns='http://jabber.org/protocol/rsm'>{}</set></query>"
REFUSED = "<error type='cancel'><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"

# What is said to a request that asks on after an entry, None for the first: entries, or None for an error.
Answers = Callable[[int | None], list[int] | None]


class Listed(Asking):
    """Requests whose service answers at once."""

    def __init__(self, answers: Answers) -> None:
        super().__init__(ACCOUNT)
        self._online = True
        self._answers = answers
        self._requests.open(self._answer, f"{ACCOUNT}/here")
        self.asked: list[tuple[str | None, str | None]] = []

    def _answer(self, kind: str, to: str, id_: str, child: ET.Element) -> None:
        after = child.findtext(f"{stanzas.RSM}set/{stanzas.RSM}after")
        self.asked.append((after, child.findtext(f"{stanzas.RSM}set/{stanzas.RSM}max")))
        entries = self._answers(None if after is None else int(after))
        kind, content = "error", REFUSED
        if entries is not None:
            last = f"<last>{entries[-1]}</last>" if entries else ""
            kind, content = "result", PAGE.format("".join(map(ENTRY.format, entries)), last)
        iq = f"<iq xmlns='jabber:client' id='{id_}' from='{to}' type='{kind}'>{content}</iq>"
        assert self._requests.answered(ET.fromstring(iq))


def entries(*numbers: int) -> tuple[DiscoItem, ...]:
    return tuple(DiscoItem(SERVICE, str(number)) for number in numbers)


async def test_pages_that_were_not_asked_for_are_followed_to_the_end() -> None:
    answers = {None: [1, 2], 2: [3, 4], 4: [5], 5: []}
    listed = Listed(answers.get)
    assert await listed.disco_items(SERVICE) == entries(1, 2, 3, 4, 5)
    assert listed.asked == [(None, None), ("2", "2"), ("4", "2"), ("5", "1")]


async def test_a_service_that_begins_again_is_not_followed() -> None:
    listed = Listed(lambda after: [1, 2] if after is None else [2])
    assert await listed.disco_items(SERVICE) == entries(1, 2)


async def test_an_error_in_place_of_a_page_leaves_nothing() -> None:
    listed = Listed({None: [1, 2], 2: [3, 4], 4: None}.get)
    with pytest.raises(StanzaError, match="internal-server-error"):
        await listed.disco_items(SERVICE)


@pytest.mark.parametrize(("size", "pages"), [(1, DISCO_PAGES), (DISCO_ENTRIES // 3, 4)], ids=["in pages", "in entries"])
async def test_a_list_without_an_end_is_none(size: int, pages: int) -> None:
    listed = Listed(lambda after: list(range((after or 0) + 1, (after or 0) + 1 + size)))
    with pytest.raises(StanzaError, match=f"goes on after {size * pages} entries"):
        await listed.disco_items(SERVICE)
    assert len(listed.asked) == pages

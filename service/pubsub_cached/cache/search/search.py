"""Searches: what the cache holds of all nodes, never the network.

An answer is as good as the worst of the nodes that it went through, for it may lack an item that only that one lacks:
freshness is the worst of theirs, validated-at the oldest, completeness full only if all are. Nodes that may not be
served are not gone through at all. Source: dbus-api.md, "Search".
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from msgspec.structs import replace

from ... import errors, jid
from ...address import Address
from ...records import InfoRecord
from ...store import words
from ...store.database import TooMuch
from ...store.rows import KEPT
from ...store.search import explain
from ...store.search import query as queries
from ...store.search import search as store_search
from ...store.search.query import Order, Query
from ...store.search.scope import Part, Shown
from ...store.search.search import Found, Matching, Search
from ...store.store import Store
from .. import cursor as cursors
from ..accounts.accounts import Accounts
from ..nodes.suspected import Suspected
from ..options import SearchOptions
from ..policy import Freshness, freshness
from ..reads.pages import Answer, Form, MadeAnswer, Pages, Wanted, answered
from ..sync.turnstile import Turnstile

# Searches of one client at a time, so that it leaves threads to the others.
AT_ONCE = 2
_WORST_LAST: tuple[Freshness, ...] = ("live", "validated", "offline", "stale")


class _Asked(NamedTuple):
    """purpose: what its cursors are for."""

    search: Search
    purpose: str


class Searches:
    """Answers searches."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        clock: Callable[[], int],
        pages: Pages,
        suspected: Suspected,
    ) -> None:
        self._store = store
        self._pages = pages
        self._accounts = accounts
        self._clock = clock
        self._suspected = suspected
        self._turnstile = Turnstile(AT_ONCE)

    def search(self, text: str, query: str, options: SearchOptions, sender: str = "") -> Answer | Awaitable[Answer]:
        """Items, a cursor ("" at the end), and how good the answer is; at once where little has to be looked at.

        Raises InvalidQuery, InvalidArgs (order), InvalidCursor, Timeout, NoSuchAccount, AmbiguousAccount.
        """
        return self._search(self._asked(text, query, options), sender)

    def get_made(
        self, text: str, query: str, options: SearchOptions, form: Form, sender: str = ""
    ) -> MadeAnswer | Awaitable[MadeAnswer]:
        """As ``search``, with what the form makes of the items."""
        asked = self._asked(text, query, options)
        # As they were written, for what is equal is not always the same: true is not 1.
        matching = asked.search.matching
        wanted = Wanted(self._pages, (text, query, matching.query.accounts, matching.shown.hidden), options, form)
        return answered(self._search(asked, sender, wanted), wanted)

    def _asked(self, text: str, query: str, options: SearchOptions) -> _Asked:
        matching, order = self.matching(text, query, options.analysers), parsed_order(options.order)
        purpose = "\0".join(("Search", text, query, options.order))
        place, since = _place(purpose, options.cursor)
        search = Search(
            matching=matching,
            order=order,
            limit=options.limit,
            place=place,
            since=since,
            fields=options.fields,
            max_bytes=options.max_bytes,
        )
        return _Asked(search, purpose)

    def _search(self, asked: _Asked, sender: str, wanted: Wanted | None = None) -> Answer | Awaitable[Answer]:
        if self._store.inline:
            with contextlib.suppress(TooMuch):
                return self._answer(asked, self._briefly(asked.search, wanted))
        return self._aside(asked, sender)

    def _briefly(self, search: Search, wanted: Wanted | None) -> Found:
        """The page, with what was made of its items before if nothing was committed since. Raises TooMuch."""
        version = self._store.versions.everything
        found: Found | None = wanted.find(version) if wanted is not None else None
        if found is None:
            found = self._store.read_briefly(store_search.find, replace(search, briefly=True))
            if wanted is not None and version is not None:
                # What was committed between the two has it not come again.
                wanted.served(version, found)
        return found

    async def _aside(self, asked: _Asked, sender: str) -> Answer:
        async with self._turnstile.pass_(sender, urgent=False):
            # It may have waited for long.
            search = self.as_of_now(asked.search)
            return self._answer(asked, await self._store.read_aside(store_search.find, search))

    def _answer(self, asked: _Asked, found: Found) -> Answer:
        cursor = cursors.encode(asked.purpose, [found.place, found.revision]) if found.place is not None else ""
        info = self._info(found.parts, asked.search.matching.query)
        info["revision"] = found.revision
        if not cursor and asked.search.place is None:
            info["total"] = found.count
        if found.ranked is not None:
            info["ranked"] = found.ranked
        return found.items, cursor, info

    async def explain(self, text: str, query: str, options: SearchOptions, sender: str = "") -> str:
        """The statements of the first page and how the database goes about each; raises as ``search``."""
        matching, order = self.matching(text, query), parsed_order(options.order)
        wanted = Search(matching=matching, order=order, limit=options.limit, max_bytes=options.max_bytes)
        async with self._turnstile.pass_(sender, urgent=False):
            return await self._store.read_aside(explain.explain, wanted)

    def matching(self, text: str, query: str, analysers: frozenset[str] | None = None) -> Matching:
        """What an item has to be, with normalised JIDs. analysers: as in SearchOptions.

        Raises InvalidQuery, NoSuchAccount, AmbiguousAccount.
        """
        parsed = queries.parse(query)
        accounts = _normalised("accounts", parsed.accounts, self._accounts.meant)
        services = _normalised("services", parsed.services, lambda name: jid.normalise(name) if name else "")
        parsed = replace(parsed, accounts=accounts, services=services)
        shown = Shown(tuple(KEPT), analysers, self._suspected.hidden)
        return Matching(words=words.parse(text), query=parsed, shown=shown)

    def as_of_now(self, search: Search) -> Search:
        """A search that was begun before, without the nodes that are not to be shown any more."""
        shown = replace(search.matching.shown, hidden=self._suspected.hidden)
        return replace(search, matching=replace(search.matching, shown=shown))

    def _info(self, parts: list[Part], query: Query) -> InfoRecord:
        info: InfoRecord = {"source": "cache", "freshness": "stale", "completeness": "none"}
        if not parts:
            return info
        now = self._clock()
        if not any(query.names(address) and self._accounts.online(address.account) for address in self._stale):
            # One may have been removed while a thread searched.
            of_each = (freshness(part, self._accounts.online(part.account), now) for part in parts)
            info["freshness"] = max(of_each, key=_WORST_LAST.index)
        info["completeness"] = "full" if all(part.completeness == "full" for part in parts) else "window"
        validated = [part.validated_at for part in parts]
        if None not in validated:
            info["validated-at"] = min(at for at in validated if at is not None)
        return info

    @property
    def _stale(self) -> Iterable[Address]:
        """The nodes that are, though their rows do not say so."""
        return frozenset(self._suspected) - self._suspected.hidden


def parsed_order(text: str) -> Order:
    """The option ``order``. Raises InvalidArgs."""
    return queries.parse_order(text) if text else ()


def _normalised(key: str, names: Iterable[str], normalise: Callable[[str], str]) -> tuple[str, ...]:
    """JIDs as the database has them. Raises InvalidQuery."""
    found: list[str] = []
    for number, name in enumerate(names):
        try:
            found.append(normalise(name))
        except errors.InvalidJid as error:
            raise errors.InvalidQuery(f"{key}[{number}]: {error.message}") from None
    return tuple(found)


def _place(purpose: str, cursor: str) -> tuple[tuple[object, ...] | None, int]:
    """The place that a cursor says, and the revision in which it was given."""
    if not cursor:
        return None, 0
    match cursors.decode(purpose, cursor):
        case [list(place), int(since)]:
            return tuple(place), since
    raise cursors.invalid(cursor)

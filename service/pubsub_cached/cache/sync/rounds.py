"""One pass of a synchronisation: subscribe, look or fetch, and put the result in place of the old at once.

Readers see the old content until then. Source: the coherence model, "Synchronisation: mark and sweep" and "Revalidation
ladder".
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from ...store.items.outline import Outline, outline
from ...store.rows import KEPT, Delta, NodeRow
from ...store.store import Store
from ...xmpp.port import DiscoInfo, Session
from ..accounts.account import Account
from ..changes import Changes
from ..jitter import Jitter
from ..nodes import metadata
from ..nodes.facts import Facts, learnt
from ..nodes.nodes import Nodes
from ..nodes.transitions import Columns
from ..parsing.parsing import By, Parse, Parsing
from ..parsing.recognition import Recognition
from ..room import Room
from . import fetch
from .ahead import Ahead
from .archives import Archives
from .finish import as_it_was, finish
from .lacking import look_up
from .pushes import Pushes
from .rungs import Copy, Found, Rungs, is_small
from .running import Running
from .subscriptions import Subscriptions

log = logging.getLogger(__name__)

# How long an answer of a node without events counts as the truth.
POLL_MS = 15 * 60_000
# A live node of which nothing was heard for so long is looked at: its subscription may be gone without a word.
SILENCE_MS = 6 * 3_600_000
# How long a node's metadata counts as read: services hardly ever tell that it changed.
DESCRIBED_MS = 24 * 3_600_000
# The outline of so many items is read where nobody waits for it, some 10 ms.
OUTLINED_AT_ONCE = 4_000


class _Seen(NamedTuple):
    """What a look at a service showed.

    node: the row, as its newest item shows it where nothing else does. by: what its items are parsed by. columns: of
    its metadata, where they were read.
    """

    node: NodeRow
    by: By
    found: Found
    columns: dict[str, Any]


class Rounds:
    """Passes over nodes; how they are begun, joined and repeated is ``sync``'s."""

    def __init__(
        self,
        store: Store,
        nodes: Nodes,
        recognition: Recognition,
        parsing: Parsing,
        changes: Changes,
        subscriptions: Subscriptions,
        facts: Facts,
        pushes: Pushes,
        room: Room,
        *,
        clock: Callable[[], int],
        jitter: Jitter,
        audit_ms: int,
    ) -> None:
        self._store = store
        self._nodes = nodes
        self._recognition = recognition
        self._parsing = parsing
        self._changes = changes
        self._subscriptions = subscriptions
        self._facts = facts
        self._archives = Archives(facts)
        self._pushes = pushes
        self._room = room
        self._clock = clock
        self._jitter = jitter
        self._audit_ms = audit_ms
        # Wait for the events that have come so far, and until they are committed; set by whoever applies them.
        self.caught_up: Callable[[], Awaitable[None]]
        self.applied: Callable[[], Awaitable[None]]

    def forget_account(self, account: str) -> None:
        """The account was removed."""
        self._archives.forget_account(account)

    async def run(self, account: Account, session: Session, node: NodeRow, running: Running) -> NodeRow | None:
        """One pass; None when the node changed as a whole meanwhile, when a new session has begun, before which more
        may have been missed, or when the node has to be fetched as a whole after all.

        Raises NoSuchNode when the row went, and what the session raises.
        """
        epoch = account.epoch
        begun = await self._begin(node, running)
        if begun is None:
            return None
        node = begun
        running.most = await self._room.most(node)
        whole = running.full or self._audit_due(node, running)
        keep, moves = self._parsing.keep(node.analyser), self._facts.moves(node.address)
        if not whole and self._pushes.tell(account, node, keep, moves=moves):
            return await self._pushed(account, node, running)
        by = self._parsing.by(node)
        running.subscribing = True
        node, followed = await self._subscribe(account, node, running)
        # What is fetched may be as old as its beginning, whoever joins it later.
        asked_at = self._clock()
        # What was handed to the store before this began is not touched since, and so has to be in the outline.
        await self.applied()
        running.subscribing = False
        running.touched_since.clear()
        read = self._store.read_all if node.item_count > OUTLINED_AT_ONCE else self._store.read
        before = await read(outline, node.id)
        seen = await self._look(session, node, before, by, running, whole=whole, followed=followed)
        found = await self._complete(session, seen.node, before, seen.found, running, whole=whole)
        if found is None or account.epoch != epoch:
            return None
        live = followed and _tells_all(msgspec.structs.replace(seen.node, **seen.columns))
        columns = seen.columns | self._outcome(seen.node, found, running, live, asked_at)
        unchanged = found.full is None and as_it_was(before, found)
        finished = await self._write(seen.node, None if unchanged else found, running, columns)
        if finished is not None:
            if self._parsing.by(finished) != seen.by:
                self._nodes.parse_again(node.address)
            running.whole = whole
            log.info("%s: %d items by rung %d, now %s", node.address, finished.item_count, found.rung, finished.state)
        return finished

    async def _begin(self, node: NodeRow, running: Running) -> NodeRow | None:
        """The row as it is once the pass has begun; None for a node that was refused or went since it was read."""
        if (node.completeness != "none" or node.state == "syncing") and (node.pinned or not running.pin):
            return node
        pin = running.pin

        def begin(row: NodeRow) -> Columns | None:
            if row.state not in KEPT and not (pin and row.state == "discovered"):
                return None
            pinned = {"pinned": row.pinned or pin}
            return pinned | {"state": "syncing"} if row.completeness == "none" else pinned

        return await self._nodes.decide(node.address, begin)

    def _audit_due(self, node: NodeRow, running: Running) -> bool:
        """Whether what is stored may be wrong by more than what happened since, or was not compared for long."""
        if node.completeness == "none" or node.whole_at is None:
            return True
        # A window that is smaller than it may be was cut here, and not by the service.
        keep = self._keep(node.analyser, running)
        cut = node.completeness == "window" and (keep is None or node.item_count < keep)
        return cut or not 0 <= self._clock() - node.whole_at < self._audit_ms

    def _keep(self, analyser: str, running: Running) -> int | None:
        """How many items are kept at most, None for all."""
        return min((most for most in (self._parsing.keep(analyser), running.most) if most is not None), default=None)

    async def _pushed(self, account: Account, node: NodeRow, running: Running) -> NodeRow | None:
        """Rung 1: the last item, which is all that is kept, came with the presence and is stored."""
        await self.caught_up()
        at = self._pushes.came(account, node.address)
        if running.disturbed or at is None:
            return None
        columns = self._validated(node, running, _tells_all(node), at, whole=False)
        finished = await self._write(node, None, running, columns)
        if finished is not None:
            log.info("%s: its last item was pushed, now %s", node.address, finished.state)
        return finished

    async def _subscribe(self, account: Account, node: NodeRow, running: Running) -> tuple[NodeRow, bool]:
        """The row, and whether events flow from now on."""

        async def intend() -> None:
            if self._subscriptions.acts.claims(node.address) == running.claims:
                await self._nodes.decide(node.address, lambda _: {"own_subscription": True})

        anew, running.subscribed = running.subscribed != account.epoch, account.epoch
        evidence = await self._subscriptions.subscribe(account, node, intend, anew=anew, declines=running.declines)

        def made() -> Columns:
            own = evidence.own and self._subscriptions.acts.claims(node.address) == running.claims
            return {"subscribed": evidence.subscribed, "own_subscription": own, "subid": evidence.subid}

        # Written at once: a subscription that this daemon made must not look like an older one after a crash.
        running.made = msgspec.structs.replace(node, **made())
        with self._subscriptions.writing(node.address, own=running.made.own_subscription):
            now = await self._nodes.find(node.address)
            # A client may have claimed it meanwhile.
            return await self._found(node, now, **made(), guarantee=evidence.guarantee), evidence.live

    async def _found(self, node: NodeRow, now: NodeRow | None, **columns: Any) -> NodeRow:
        """The row with these columns; written only where it has others, as it hardly ever has after a login."""
        if now is not None and now.id == node.id and all(getattr(now, name) == columns[name] for name in columns):
            return now
        return await self._nodes.update(node, **columns)

    async def _describe(self, session: Session, node: NodeRow, whole: bool) -> dict[str, Any]:
        """Columns of the node's metadata, when it is to be read."""
        now = self._clock()
        if not whole and node.described_at is not None and 0 <= now - node.described_at < DESCRIBED_MS:
            return {}
        info = await metadata.describe(session, node.address)
        return metadata.columns(info) | ({"described_at": now} if info != DiscoInfo() else {})

    async def _look(
        self, session: Session, node: NodeRow, before: Outline, by: By, running: Running, *, whole: bool, followed: bool
    ) -> _Seen:
        """What the ladder finds, or else a fetch."""
        found = None if whole else await self._climb(session, node, before, running, followed=followed)
        if found is not None:
            return _Seen(node, by, found, await self._describe(session, node, whole))
        shown, fetched, parse = await self._fetch(session, node, running)
        if shown is not node:
            node, by = shown, self._parsing.by(shown)
        found, columns = await self._parse(session, node, fetched, parse, whole)
        await self._compare_archive(session, node, found, running)
        return _Seen(node, by, found, columns)

    async def _complete(
        self, session: Session, node: NodeRow, before: Outline, seen: Found, running: Running, *, whole: bool
    ) -> Found | None:
        """What was seen, with what it lacks; None for a pass in vain: see ``run``."""
        found = seen
        running.last = found.newest[-1].id if found.newest else ""
        if found.full is False and not self._facts.moves(node.address):
            found = await look_up(session, node.address, before, found, functools.partial(self._parsing.all, node))
        # Events that came before the last reply are older than it, and must not be applied on top of it.
        await self.caught_up()
        # Of what events told before the service was asked, its answer says where it stands.
        running.touched -= found.there - running.touched_since
        if running.disturbed or (running.full and not whole):
            return None
        if found.whole and node.whole_at is not None:
            self._learn(node, before, seen, running)
        return found

    async def _climb(
        self, session: Session, node: NodeRow, before: Outline, running: Running, *, followed: bool
    ) -> Found | None:
        rungs = Rungs(
            session,
            node.address,
            Copy(before, node.completeness == "full", self._keep(node.analyser, running)),
            self._facts,
            followed=followed,
            parse=functools.partial(self._parsing.all, node),
            touched=running.touched,
            caught_up=self.caught_up,
        )
        return await rungs.climb()

    async def _compare_archive(self, session: Session, node: NodeRow, found: Found, running: Running) -> None:
        if is_small(max((len(item.payload) for item in found.newest), default=0), len(found.newest)):
            # Never looked at by way of an archive.
            return
        await self._archives.compare(
            session,
            node.address,
            found.newest,
            parse=functools.partial(self._parsing.all, node),
            touched=running.touched,
            caught_up=self.caught_up,
        )

    async def _parse(
        self, session: Session, node: NodeRow, fetched: fetch.Fetched, parse: Parse, whole: bool
    ) -> tuple[Found, dict[str, Any]]:
        """What was fetched, and the columns of the metadata, which is asked for while that is parsed."""
        log.debug("%s: fetched by %s", node.address, fetched.strategy)
        async with Ahead[dict[str, Any]]() as ahead:
            await ahead.ask(self._describe(session, node, whole))
            found = Found(5, await parse(fetched.items), whole=True, full=fetched.full)
            return found, await ahead.reply()

    async def _fetch(self, session: Session, node: NodeRow, running: Running) -> tuple[NodeRow, fetch.Fetched, Parse]:
        """The row, as its newest item shows it where nothing else does, as many items as are kept, and their parser."""
        keep = self._keep(node.analyser, running)
        parse = functools.partial(self._parsing.all, node, made={})
        fetched = await fetch.fetch(session, node.address, keep, running.say, self._facts, parse)
        shown = await self._recognition.recognise(node, fetched.items[-1].namespace if fetched.items else "")
        if shown is node:
            return node, fetched, parse
        keep = self._keep(shown.analyser, running)
        if not fetched.full and (keep is None or keep > len(fetched.items)):
            fetched = await fetch.fetch(session, node.address, keep, running.say, self._facts)
        fetched = fetch.newest(fetched.items, keep, fetched.full, fetched.strategy)
        return shown, fetched, functools.partial(self._parsing.all, shown, made={})

    def _learn(self, node: NodeRow, before: Outline, found: Found, running: Running) -> None:
        moved = learnt(before, found.newest, running.touched | running.since_a_gap)
        # In a window an old item that an event brought only looks made last, and so after what seems to have moved.
        if moved is False or (moved and node.completeness == "full"):
            self._facts.overwritten(node.address, moved)

    async def _write(
        self, node: NodeRow, found: Found | None, running: Running, columns: dict[str, Any]
    ) -> NodeRow | None:
        """Write what was found; None for a node that changed as a whole, was denied or went meanwhile."""
        keep, moves = self._keep(node.analyser, running), self._facts.verdict(node.address)
        write = functools.partial(finish, found=found, columns=columns, keep=keep, moves=moves, later=running.later())
        written = self._store.write(write, node.id, frozenset(running.touched))
        finished = await self._changes.after(written, functools.partial(self._finished, node, running))
        return None if finished is None or running.disturbed else finished[1]

    def _finished(self, node: NodeRow, running: Running, finished: tuple[Delta, NodeRow] | None) -> None:
        """Tell what a pass brought, once it is there for everyone to read."""
        if finished is None:
            return
        delta, row = finished
        if self._nodes.readable(node.address, running.doubts) and not running.disturbed:
            # Else what came up meanwhile is not written down yet.
            self._nodes.suspected.discard(node.address)
        self._changes.items(node.address, delta)
        self._nodes.tell(node, row)

    def _outcome(self, node: NodeRow, found: Found, running: Running, live: bool, asked_at: int) -> dict[str, Any]:
        """The columns that say what was found, beside those of the metadata."""
        columns = self._validated(node, running, live, asked_at, whole=found.whole)
        if found.full is not None:
            columns["completeness"] = "full" if found.full else "window"
        if found.newest and self._parsing.by(node).missing:
            columns["analyser_version"] = 0
        if found.newest and found.newest[-1].namespace:
            columns["namespace"] = found.newest[-1].namespace
        return columns

    def _validated(self, node: NodeRow, running: Running, live: bool, asked_at: int, *, whole: bool) -> dict[str, Any]:
        """The columns of a node that is as its service has it."""
        now = self._clock()
        whole_at = asked_at if whole else node.whole_at or asked_at
        audit = max(0, whole_at + self._audit_ms - now)
        wait = (
            min(self._jitter.within(SILENCE_MS), self._jitter.within(audit)) if live else self._jitter.within(POLL_MS)
        )
        return {
            "state": "live" if live else "polled",
            "reason": "",
            "validated_at": asked_at,
            "last_sync": now,
            "next_sync": now + wait,
            "whole_at": whole_at,
            "failures": 0,
            "gone_at": None,
            "pinned": node.pinned or running.pin,
        }


def _tells_all(node: NodeRow) -> bool:
    """Whether the service tells of what is published, and nothing expires behind its back."""
    return node.notifies and node.item_expire is None

"""A node's row: discovered, classified, moved from state to state, with the signal each move owes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from ... import errors
from ...address import Address
from ...analysers.registry import Matched, Registry, Subject
from ...store.accounts import nodes as node_store
from ...store.rows import KEPT, UNPROVED, Delta, NodeRow
from ...store.store import Store
from ...tasks import Tasks
from ...xmpp.port import DiscoInfo, Item, Session
from ..changes import Changes
from ..jitter import Jitter
from . import metadata, refusals, transitions
from .negatives import Negatives
from .privacy import Privacy
from .proofs import Proofs
from .suspected import Suspected
from .transitions import Choose, Columns, Written, asks, is_followed_in_vain, still, subject
from .unapplied import Unapplied

log = logging.getLogger(__name__)

T = TypeVar("T")


class Nodes:
    """Rows of nodes, the only way the cache changes them."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        changes: Changes,
        proofs: Proofs,
        clock: Callable[[], int],
        privacy: Privacy,
        jitter: Jitter,
    ) -> None:
        self._store = store
        self._registry = registry
        self._changes = changes
        # What services refused, and whose reads they have answered.
        self.negatives = Negatives(clock)
        self.proofs = proofs
        self._clock = clock
        self.privacy = privacy
        self._jitter = jitter
        self.unapplied = Unapplied()
        self.suspected = Suspected(proofs, changes, self.unapplied)
        # What failed reads mean, being written down.
        self._noting = Tasks()
        # Has an agent say what a node is; set by whoever asks agents.
        self.ask: Callable[[Address], None]
        # Gives up what the daemon subscribed to for a node that is kept no more; set by whoever asks services to.
        self.unsubscribe: Callable[[Address], None]
        # Hears when a node is due, ms; set by whoever watches the time.
        self.due: Callable[[int], None]
        # Hears of a node of which what its service answered could not be written down; set by whoever asks it again.
        self.unwritten: Callable[[Address], None]
        # Hears of a node whose metadata is another; set by whoever remembers what else is said of it.
        self.redescribed: Callable[[Address], object]
        # Has a node's items parsed by what it is now; set by whoever parses again.
        self.parse_again: Callable[[Address], None]

    async def find(self, address: Address) -> NodeRow | None:
        """The node's row, or None."""
        return await self._store.read(node_store.find, address)

    async def update(self, node: NodeRow, **columns: Any) -> NodeRow:
        """Change columns; NodeChanged says the new state, or ``updated``."""
        written = self._store.write(transitions.update, node.id, columns)
        _, row = await self._changes.after(written, self.told)
        return row

    async def decide(self, address: Address, choose: Choose) -> NodeRow | None:
        """Change columns as the row says in the moment in which it is written; the row as it is then.

        Whatever follows from what the row was goes this way: refusals, failures and doubts come of one node by
        several ways at once, and none may undo what another has written meanwhile. None where nothing is chosen, or
        there is no row.
        """
        written = self._store.write(transitions.decide, address, choose)
        decided = await self._changes.after(written, self.told)
        return decided[1] if decided is not None else None

    async def suspect(self, address: Address, choose: Choose, then: Callable[[], object]) -> None:
        """As ``decide``, of what readers are to believe at once, and for as long as it can't be written down.

        then: called once it is, even if nobody waits for it any more.
        """

        def tell(written: Written) -> None:
            self.told(written)
            then()

        written = self._store.write(transitions.decide, address, choose)
        self.suspected.until(address, written)
        await self._changes.after(written, tell)

    def tell(self, before: NodeRow | None, after: NodeRow) -> None:
        """The signal that the change of a row owes, or its making."""
        self.privacy.note(after)
        if is_followed_in_vain(after):
            self.unsubscribe(after.address)
        if before is None:
            self._changes.node(after.address, "added")
            return
        if metadata.differ(before, after):
            self.redescribed(after.address)
        if after.next_sync is not None and after.next_sync != before.next_sync:
            self.due(after.next_sync)
        if after.state != before.state:
            self._changes.node(after.address, after.state)
        elif after.revision != before.revision:
            self._changes.node(after.address, "updated")

    def told(self, written: Written) -> None:
        """The signal that a write owes, of a row that may have been made by it."""
        if written is not None:
            self.tell(*written)

    def match(self, address: Address, info: DiscoInfo, namespace: str) -> Matched:
        """What the analysers say of a node."""
        node_type = metadata.first(info, "pubsub#type") or None
        return self._registry.match(Subject(address, namespace or None, node_type, info.metadata))

    def match_stored(self, node: NodeRow, namespace: str = "") -> Matched:
        """What the analysers say of a node by what is stored of it; namespace: of a payload that has just come."""
        return self._registry.match(subject(node, namespace))

    def match_name(self, address: Address) -> Matched:
        """What the analysers say of a node before anything but its name is known."""
        return self.match(address, DiscoInfo(), "")

    async def newest(self, session: Session, address: Address) -> Item | None:
        """The newest item, by which a payload's namespace is known."""
        page = await session.get_items(address.service, address.node, max_items=1)
        return page.items[-1] if page.items else None

    async def discover(
        self,
        session: Session,
        address: Address,
        newest: Item | None = None,
        *,
        known: bool = False,
        asked: bool = True,
        doubts: int | None = None,
        whole: bool = False,
        anyway: bool = False,
    ) -> tuple[NodeRow, Matched]:
        """Ask what the node is, let the analysers decide, and write it down.

        newest: where the caller has it already; doubts: how many there were when it was asked for. known: there is a
        row, which is not made again where it goes meanwhile. asked: a client reads it; else it announced itself. whole:
        all of it is fetched next, whatever it is, which may tell what the newest item would. anyway: the row is wanted
        though the database fails; it is in state ``unknown`` then. Raises what the session raises, and NoSuchNode.
        """
        doubts = self.proofs.doubts if doubts is None else doubts
        info, newest = await self._learn(session, address, newest, whole)
        namespace = newest.namespace if newest is not None else ""
        matched = self.match(address, info, namespace)
        columns = metadata.columns(info) | {"namespace": namespace}
        proved = self.proofs.holds(address, doubts)
        written = self._store.write(
            transitions.classify, address, matched, asked, self.registered, columns, proved=proved, known=known
        )

        def tell(rows: tuple[NodeRow | None, NodeRow]) -> None:
            self.tell(*rows)
            if asks(matched):
                self.ask(address)

        try:
            _, row = await self._changes.after(written, tell)
        except errors.STORAGE as error:
            if not anyway:
                raise
            await self.failed(address, error)
            row = transitions.unwritten(address, matched, columns)
            self.privacy.note(row)
        return await self.proved(row, doubts), matched

    async def _learn(
        self, session: Session, address: Address, newest: Item | None, whole: bool
    ) -> tuple[DiscoInfo, Item | None]:
        """The metadata, and the newest item where it is needed."""
        if newest is None and not (whole and address.own):
            return await asyncio.gather(metadata.describe(session, address), self.newest(session, address))
        info = await metadata.describe(session, address)
        if newest is None and not self._left_to_items(address, info):
            newest = await self.newest(session, address)
        return info, newest

    def _left_to_items(self, address: Address, info: DiscoInfo) -> bool:
        """Whether what an own node is can wait for its items: it exists, and nobody has to be kept from it."""
        told = self.match(address, info, "").definition is not None
        return info.metadata.keys() >= metadata.DECISIVE and not told and not self._registry.hides_by_payload

    def readable(self, address: Address, doubts: int) -> bool:
        """The service has let the account read the node; whether that counts, see ``Proofs.prove``."""
        proved = self.proofs.prove(address, doubts)
        if proved:
            self.negatives.clear(address)
            self.suspected.proved(address)
        return proved

    async def proved(self, node: NodeRow, doubts: int) -> NodeRow:
        """The service has let the account read a node; what was hidden until then is shown again."""
        if not self.readable(node.address, doubts) or node.reason != UNPROVED:
            return node
        try:
            return await self.decide(node.address, transitions.shown_again) or node
        except errors.STORAGE as error:
            log.error("%s stays hidden until it can be written down that it may be read: %s", node.address, error)
            self.unwritten(node.address)
            return node

    async def failed(self, address: Address, error: errors.PubSubCachedError) -> errors.PubSubCachedError:
        """Write down what a failed read means, once the database works; the result is what a reader is told."""
        # Whoever asked may give up meanwhile.
        return await asyncio.shield(self._noting.begin(self._note(address, error), f"failure of {address}"))

    async def _redirect(self, address: Address, error: errors.PubSubCachedError) -> str:
        """Where a node went that is gone, as far as its row says."""
        if refusals.meaning(error) != "gone":
            return ""
        try:
            node = await self.find(address)
        except errors.STORAGE:
            return ""
        return node.redirect if node is not None else ""

    async def _note(self, address: Address, error: errors.PubSubCachedError) -> errors.PubSubCachedError:
        told = refusals.for_reader(error, address, await self._redirect(address, error))
        try:
            await self._write_down(address, error, told)
        except errors.STORAGE as failure:
            log.error("what %s answered could not be written down yet: %s", address, failure)
            # Until then it is not what its row says.
            self.suspected.add(address)
            self.unwritten(address)
        return told

    async def _write_down(
        self, address: Address, error: errors.PubSubCachedError, told: errors.PubSubCachedError
    ) -> None:
        meaning = refusals.meaning(error)
        match meaning:
            case "gone":
                self.negatives.remember(address, told)
                await self.gone(address, refusals.redirect(error))
            case "denied":
                self.negatives.remember(address, told)
                await self._denied(address, refusals.reason(error))
            case "unreachable":
                self.negatives.unreachable(address, told)
                await self._failing(address, "unreachable", refusals.reason(error))
            case "offline":
                await self._interrupted(address)
            case "cancelled":
                # What is stored is as it was; a node of which nothing is yet is tried again by itself.
                await self._failing(address, "stale", refusals.reason(error), of=frozenset({"syncing"}))
            case _:
                noted = await self._failing(address, "stale", refusals.reason(error))
                if noted is None and isinstance(error, errors.STORAGE):
                    # It was the database that failed, and no row says that the service is to be asked again.
                    self.unwritten(address)

    async def gone(self, address: Address, redirect: str = "") -> None:
        """The node was deleted: its items are erased, its row stays for a while with the redirect."""

        def tell(erased: tuple[Delta, Written]) -> None:
            delta, written = erased
            self._changes.items(address, delta)
            self.told(written)

        await self._refused(address, self._store.write(transitions.gone, address, redirect, self._clock()), tell)

    async def given_up(self, address: Address) -> None:
        """The service has ended the subscription that the daemon made to a node which is kept no more."""
        await self._changes.after(self._store.write(transitions.given_up, address), self.told)

    def forget(self, address: Address) -> None:
        """The node's row was removed."""
        self.privacy.forget(address)
        self.proofs.forget(address)
        self.negatives.clear(address)
        self.suspected.discard(address)

    def registered(self, analyser: str) -> bool:
        """Whether there is an analyser of this name."""
        return self._registry.get(analyser) is not None

    async def _denied(self, address: Address, reason: str) -> None:
        def private(analyser: str) -> bool:
            definition = self._registry.get(analyser)
            return definition is not None and definition.private

        written = self._store.write(transitions.deny, address, reason, private, self._clock())
        await self._refused(address, written, self.told)

    async def _refused(self, address: Address, written: asyncio.Future[T], tell: Callable[[T], None]) -> None:
        """Readers believe it at once, and while it can't be written down; what was asked before says nothing."""
        self.proofs.doubt(address)
        self.suspected.until(address, written)
        await self._changes.after(written, tell)
        if await self.find(address) is None:
            self.proofs.forget(address)

    async def _interrupted(self, address: Address) -> None:
        """The session went: what waits to be validated is due as soon as there is one, resumed or new."""
        now = self._clock()

        def due(node: NodeRow) -> Columns | None:
            if node.state not in ("syncing", "stale"):
                return None
            return {
                "state": "stale",
                "reason": still(node, "offline" if node.state == "syncing" else node.reason),
                "next_sync": now,
            }

        await self.decide(address, due)

    async def _failing(self, address: Address, state: str, reason: str, of: frozenset[str] = KEPT) -> NodeRow | None:
        now = self._clock()

        def failing(node: NodeRow) -> Columns | None:
            if node.state not in of:
                # What was refused, or is gone, is so until a read succeeds.
                return None
            failures = node.failures + 1
            again = now + self._jitter.retry(failures)
            return {"state": state, "reason": still(node, reason), "failures": failures, "next_sync": again}

        return await self.decide(address, failing)

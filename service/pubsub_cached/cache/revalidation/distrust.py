"""Distrust: what is stored of a node may be wrong, so that is said to readers, and looked into.

Source: the coherence model, "What the protocol forces".
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ... import errors
from ...address import Address
from ...store.accounts import nodes as node_store
from ...store.accounts import schedule
from ...store.rows import KEPT, UNPROVED, NodeRow
from ...store.store import Store
from ...xmpp.port import BounceEvent
from ..accounts.account import Account
from ..nodes import refusals
from ..nodes.nodes import Nodes
from ..nodes.proofs import BY_ROSTER, PRESENCE, ROSTER
from ..nodes.transitions import Columns, still
from ..policy import servable
from ..sync.sync import Sync
from .unwritten import Unwritten

# Reasons to distrust a node of which what is stored was right, as far as events came.
_MISSED = frozenset(
    {"bounce", "database", "delayed-event", "max-items", "no-payload", "refusal", "roster", "subscription"}
)


class Distrust:
    """Calls nodes stale, and has them synchronised; once the database works where it fails."""

    def __init__(self, store: Store, nodes: Nodes, sync: Sync, unwritten: Unwritten) -> None:
        self._store = store
        self._nodes = nodes
        self._sync = sync
        self._unwritten = unwritten

    async def of(self, address: Address, reason: str) -> None:
        """What is stored may be wrong: say so, and synchronise at once."""
        await self._unwritten.write((address, reason), functools.partial(self._of, address, reason))

    @asynccontextmanager
    async def if_refused(self, address: Address, *meanings: refusals.Meaning) -> AsyncIterator[None]:
        """What is asked of a node, not to read it; refused with one of these meanings it is not what is kept of it."""
        try:
            yield
        except errors.StanzaError as refusal:
            if refusals.meaning(refusal) in meanings:
                await self.of(address, "refusal")
            raise

    @asynccontextmanager
    async def if_unwritten(self, address: Address, reason: str) -> AsyncIterator[None]:
        """What follows for the cache from what a service did or said, which is its asker's though the database fails.

        Then the node is doubted for this reason, once it works.
        """
        try:
            yield
        except errors.STORAGE:
            await self.of(address, reason)

    async def of_access(self, address: Address, reason: str) -> None:
        """Access may have been tightened: nothing is shown until it could be read, after a restart either."""
        self._nodes.proofs.doubt(address)
        await self.of(address, reason if address.own else UNPROVED)

    async def bounced(self, account: str, event: BounceEvent) -> None:
        """An error message of a service: events may have been missed."""
        await self._unwritten.write((account, event), functools.partial(self._bounced, account, event))

    async def roster_changed(self, account: str, contact: str) -> None:
        """What presence and groups say of a contact's nodes has changed: who may read them, and whether events come."""
        self._nodes.negatives.clear_service(account, contact)
        await self._unwritten.write((account, contact), functools.partial(self._roster_changed, account, contact))

    async def announced_no_more(self, names: frozenset[str]) -> None:
        """PEP nodes of these names are not asked for any more: the events that presence brought come no more."""
        await self._unwritten.write(("", names), functools.partial(self._announced_no_more, names))

    async def roster_came(self, account: Account) -> None:
        """Whoever is no contact by now may have left while the daemon did not run: what only contacts may read is in
        doubt, unless a read has succeeded since. At a component they are its owners' contacts, of whom no roster says
        anything here."""
        contacts = account.session.contacts
        for address in await self._store.read_all(node_store.by_access, account.jid, (PRESENCE, ROSTER)):
            of_contact = "@" in address.service and not address.own
            if of_contact and address.service not in contacts and not self._nodes.proofs.known(address):
                await self.of_access(address, "roster")

    def of_answer(self, address: Address) -> None:
        """What a service answered could not be written down: ask it again once the database works."""
        self._unwritten.later((address, "database"), functools.partial(self._of_answer, address))

    async def _of_answer(self, address: Address) -> None:
        node = await self._nodes.find(address)
        if servable(node):
            await self._of(address, "database")
        else:
            self._nodes.suspected.discard(address)
            # Nothing is written before the service has answered, so that alone shows whether anything can be.
            await asyncio.wait([self._sync.in_background(address)])

    async def _of(self, address: Address, reason: str) -> None:
        try:
            node = await self._nodes.find(address)
        except errors.STORAGE:
            # Readers may be able to before it is tried again.
            self._sync.disturbed(address)
            self._nodes.suspected.add(address)
            raise
        if node is None or node.state not in KEPT:
            # It is shown no more, and again only once it was validated.
            self._nodes.suspected.discard(address)
            return
        if self._nodes.proofs.in_doubt(address):
            # A refusal, or that the node is gone, which could not be written down itself.
            reason = UNPROVED
        self._sync.disturbed(address)
        doubtful = functools.partial(_doubtful, reason=reason)
        await self._nodes.suspect(address, doubtful, functools.partial(self._sync.in_background_unless_closed, address))

    async def _bounced(self, account: str, event: BounceEvent) -> None:
        entries = await self._store.read(schedule.at_service, account, event.service, KEPT)
        for entry in entries:
            if event.node in ("", entry.address.node):
                await self.of(entry.address, "bounce")

    async def _announced_no_more(self, names: frozenset[str]) -> None:
        for entry in await self._store.read_all(schedule.followed_weakly, names):
            await self.of(entry.address, "subscription")

    async def _roster_changed(self, account: str, contact: str) -> None:
        for entry in await self._store.read(schedule.at_service, account, contact, KEPT | {"denied"}):
            node = await self._nodes.find(entry.address)
            if node is None:
                continue
            if node.state == "denied":
                # Worth a try: only a successful read shows it again.
                self._sync.in_background(entry.address)
                continue
            if node.access_model in BY_ROSTER:
                await self.of_access(entry.address, "roster")
            elif node.guarantee == "weak":
                await self.of(entry.address, "roster")


def _doubtful(node: NodeRow, reason: str) -> Columns | None:
    if not servable(node):
        # A refusal, or that the node is gone, outranks what is only doubtful; without a copy nothing is.
        return None
    doubt = {} if reason in _MISSED else {"whole_at": None}
    return {"state": "stale", "reason": still(node, reason), **doubt}

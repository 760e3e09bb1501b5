"""Nodes that are not what their rows say, of which that is not written down yet: the database may fail for hours.

Readers believe it at once. What is only doubtful is stale, and so is an own node that is gone; what another's service
has refused, or has no more, is unproved: nothing of it is shown. Source: the coherence model, "Unit and states" and
"What the protocol forces".
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from ... import errors
from ...address import Address
from ...store.database import AccountInUse
from ...store.rows import KEPT, UNPROVED, NodeRow
from ..changes import Changes
from .proofs import Proofs
from .unapplied import Unapplied

# The states of copies of which readers are told that they are what their services have.
BELIEVED = frozenset({"live", "polled"})
# There is nothing to be written down: the row went, or it is another daemon that writes it.
NOTHING_TO_WRITE = (errors.NoSuchNode, errors.NoSuchAccount, AccountInUse)


class Suspected:
    """Those nodes, and those of ``unapplied``.

    on_hidden: called with all that are not to be shown, once these are others for longer than a write takes.
    """

    def __init__(self, proofs: Proofs, changes: Changes, unapplied: Unapplied) -> None:
        self.on_hidden: list[Callable[[frozenset[Address]], None]] = []
        self._proofs = proofs
        self._changes = changes
        self._unapplied = unapplied
        # Each with the last that came up of it.
        self._nodes: dict[Address, object] = {}
        # Those of which everybody was told, and those of them that were hidden.
        self._told: set[Address] = set()
        self._hidden: set[Address] = set()

    def __contains__(self, address: Address) -> bool:
        return address in self._nodes or address in self._unapplied

    def __iter__(self) -> Iterator[Address]:
        return iter({*self._nodes, *self._unapplied})

    @property
    def hidden(self) -> frozenset[Address]:
        """Those of which nothing is to be shown until a read succeeds."""
        return frozenset(address for address in self._nodes if self._proofs.in_doubt(address))

    def seen(self, node: NodeRow) -> NodeRow:
        """A row as it is shown to readers."""
        if node.address not in self or node.state not in KEPT - {"syncing"}:
            return node
        if self._proofs.in_doubt(node.address):
            return replace(node, state="stale", reason=UNPROVED)
        return stale(node)

    def until(self, address: Address, written: asyncio.Future[Any]) -> None:
        """Until what has come up of a node is written down, whoever waits for that, or for as long as it is not."""
        suspicion = self._nodes[address] = object()
        written.add_done_callback(functools.partial(self._written, address, suspicion))

    def _written(self, address: Address, suspicion: object, written: asyncio.Future[Any]) -> None:
        error = None if written.cancelled() else written.exception()
        if error is not None and not isinstance(error, NOTHING_TO_WRITE):
            self._tell(address)
        elif self._nodes.get(address) is suspicion:
            # Else another came up meanwhile.
            self.discard(address)

    def add(self, address: Address) -> None:
        """It could not be written down."""
        self._nodes[address] = object()
        self._tell(address)

    def proved(self, address: Address) -> None:
        """A read has succeeded: nothing is in doubt but what is stored."""
        if address in self._told:
            self._tell(address)

    def discard(self, address: Address) -> None:
        """It was written down, or is true no more."""
        if self._nodes.pop(address, None) is not None:
            self._tell(address)

    def _tell(self, address: Address) -> None:
        """What a node is to readers may be different, and whether it is to be shown."""
        before = address in self._told, address in self._hidden
        is_told = address in self._nodes
        is_hidden = is_told and self._proofs.in_doubt(address)
        for told, holds in ((self._told, is_told), (self._hidden, is_hidden)):
            (told.add if holds else told.discard)(address)
        if is_hidden != before[1] or not is_told:
            # Also what was made while it was written down does not show it.
            hidden = frozenset(self._hidden)
            for callback in self.on_hidden:
                callback(hidden)
        if (is_told, is_hidden) != before:
            self._changes.node(address, "updated")


def stale(node: NodeRow) -> NodeRow:
    """A node that is not what its row says, where that is believed."""
    return replace(node, state="stale") if node.state in BELIEVED else node

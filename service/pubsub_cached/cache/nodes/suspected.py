"""Nodes that are not what their rows say, of which that is not written down yet: the database may fail for hours.

Readers believe it at once. What is only doubtful is stale; what a service has refused, or has no more, is not shown at
all. Source: the coherence model, "Unit and states" and "What the protocol forces".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ... import errors
from ...address import Address
from ...store.database import AccountInUse
from .proofs import Proofs


class Suspected:
    """Those nodes; on_hidden: called with all that are not to be shown, where these are others for longer."""

    def __init__(self, proofs: Proofs) -> None:
        self.on_hidden: list[Callable[[frozenset[Address]], None]] = []
        self._proofs = proofs
        # Each with the last that came up of it.
        self._nodes: dict[Address, object] = {}
        self._told = frozenset[Address]()

    def __contains__(self, address: Address) -> bool:
        return address in self._nodes

    def __iter__(self) -> Iterator[Address]:
        return iter(self._nodes)

    @property
    def hidden(self) -> frozenset[Address]:
        """Those of which nothing is to be shown until a read succeeds."""
        return frozenset(address for address in self._nodes if self._proofs.in_doubt(address))

    @contextmanager
    def writing(self, address: Address) -> Iterator[None]:
        """What has come up of a node is written down, or it is suspected for as long as it is not."""
        suspicion = self._nodes[address] = object()
        try:
            yield
        except (errors.NoSuchNode, errors.NoSuchAccount, AccountInUse):
            # There is nothing to be written down, at least not by this daemon.
            self.discard(address)
            raise
        except BaseException:
            self._tell()
            raise
        if self._nodes.get(address) is suspicion:
            # Else another came up meanwhile.
            self.discard(address)

    def add(self, address: Address) -> None:
        """It could not be written down."""
        self._nodes[address] = object()
        self._tell()

    def discard(self, address: Address) -> None:
        """It was written down, or is true no more."""
        if self._nodes.pop(address, None) is not None:
            self._tell()

    def _tell(self) -> None:
        hidden = self.hidden
        if hidden != self._told:
            self._told = hidden
            for callback in self.on_hidden:
                callback(hidden)

"""The base of interfaces at the root: on the bus from the first moment, with something behind them a little later."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from ..bus import Interface, sandboxed
from ..errors import NoSuchNode
from .waiting import then

if TYPE_CHECKING:
    from ..address import Address
    from ..cache.house import House

T = TypeVar("T")


class Served(Interface):
    """An interface that is introspected before there is a house; its methods are called only once there is one."""

    _house: House | None = None

    @property
    def house(self) -> House:
        """What answers; the tree lets no call in before ``open``."""
        assert self._house is not None, "the tree was opened without a house"
        return self._house

    def open(self, house: House) -> None:
        """Serve this house from now on."""
        self._house = house

    @property
    def visible(self) -> frozenset[str] | None:
        """The analysers whose nodes the caller may see, None for all."""
        return self.house.privacy.public if sandboxed() else None

    def address(self, account: str, service: str, node: str) -> Address:
        """The node that a caller's three strings mean.

        Raises InvalidJid, NoSuchAccount, AmbiguousAccount, and NoSuchNode when it is not there for the caller.
        """
        found = self.house.accounts.resolve(account, service, node)
        return self._seen(found) if sandboxed() else found

    def seen(self, address: Address, answer: T | Awaitable[T]) -> T | Awaitable[T]:
        """An answer on a node, unless it turned out meanwhile that the node is not there for the caller."""
        if not sandboxed():
            return answer

        def checked(answer: T) -> T:
            self._seen(address)
            return answer

        return then(answer, checked)

    def _seen(self, address: Address) -> Address:
        if self.house.privacy.private(address):
            raise NoSuchNode(f"There is no node {address}.")
        return address

"""The base of interfaces at the root: on the bus from the first moment, with something behind them a little later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..bus import Interface

if TYPE_CHECKING:
    from ..cache.house import House


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

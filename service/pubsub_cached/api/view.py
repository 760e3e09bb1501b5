"""``im.pubsubcache1.View``: a query that stays alive, told to its owner alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from ..bus import Interface, Records
from ..cache.options import WINDOW_AT_MOST
from ..documents import document
from ..errors import InvalidArgs
from ..records import ITEM, ItemRecord
from .options import Table

if TYPE_CHECKING:
    from ..cache.views.telling import Change
    from ..cache.views.view import View as CachedView

RANGE_AT_MOST = 500


class View(Interface):
    """One view. close: ends it."""

    name: ClassVar[str] = "im.pubsubcache1.View"
    sandboxed: ClassVar[frozenset[str]] = frozenset({"Start", "Stop", "Close", "SetWindow", "GetRange"})
    options: ClassVar[Mapping[str, Table]] = {}

    def __init__(self, view: CachedView, close: Callable[[], None]) -> None:
        super().__init__()
        self._view = view
        self._close = close

    @property
    def State(self) -> str:
        return self._view.state

    @property
    def Total(self) -> Awaitable[int]:
        return self._view.total()

    def Start(self) -> Awaitable[None]:
        return self._view.start()

    def Stop(self) -> None:
        self._view.stop()

    def Close(self) -> None:
        self._close()

    def SetWindow(self, window: int) -> None:
        if window == 0:
            raise InvalidArgs("The window is 0, and 1 is the least.")
        self._view.resize(min(window, WINDOW_AT_MOST))

    async def GetRange(self, offset: int, count: int) -> Records:
        items = await self._view.range(offset, min(count, RANGE_AT_MOST))
        return Records(items, ITEM)

    # What the view tells: it is the cache's ``Listener``.

    def items(self, change: Change, items: Sequence[ItemRecord]) -> None:
        """Added or Changed, or Documents when the owner wants JSON."""
        if self._view.json:
            self.emit("Documents", change, [document(item) for item in items])
        elif change == "added":
            self.emit("Added", Records(items, ITEM))
        else:
            self.emit("Changed", Records(items, ITEM))

    def removed(self, keys: list[str]) -> None:
        """Items left the window."""
        self.emit("Removed", keys)

    def ready(self, total: int) -> None:
        """The window was told."""
        self.emit("Ready", total)

    def reset(self) -> None:
        """The window will be told anew."""
        self.emit("Reset")

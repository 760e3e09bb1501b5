"""All views: made by a call, bound to their owners, told of every commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from ... import errors, object_path
from ...address import Address
from ...analysers.agent import Peers
from ...store.aside import THREADS
from ...store.search.scope import Shown
from ...store.search.search import Search
from ...store.store import Store
from ...store.touched import Touched
from ..options import ViewOptions
from ..search.search import Searches, parsed_order
from .view import PAUSE_SECONDS, View
from .view_source import COUNT_SECONDS, ViewSource

# Of one client.
AT_MOST = 16
# So many search again at once: what clients ask for finds a thread, and none spends its time waiting for the others.
SEARCHING_AT_MOST = THREADS // 2


class Views:
    """Views by path. peers: the other programs on the bus, None when there is no bus.

    pause: see ``View``. count_seconds: see ``ViewSource``.
    """

    def __init__(self, store: Store, searches: Searches, peers: Peers | None) -> None:
        self.pause = PAUSE_SECONDS
        self.count_seconds = COUNT_SECONDS
        self.on_added: list[Callable[[View], None]] = []
        self.on_removed: list[Callable[[View], None]] = []
        self._store = store
        self._searches = searches
        self._peers = peers
        self._views: dict[str, View] = {}
        # What each looks for.
        self._sought: dict[View, Search] = {}
        self._watched: set[str] = set()
        self._turn = asyncio.Semaphore(SEARCHING_AT_MOST)
        store.on_commit.append(self._committed)

    def all(self) -> list[View]:
        """All views, oldest first."""
        return [*self._views.values()]

    async def create(self, text: str, query: str, options: ViewOptions, owner: str) -> View:
        """A view at ``…/view/<owner>/<token>``, still silent; it ends with its owner, a unique name.

        Raises InvalidQuery, InvalidArgs (order), NotSupported (cursor), Conflict, LimitExceeded, NoSuchAccount,
        AmbiguousAccount.
        """
        if options.cursor:
            raise errors.NotSupported("A view begins with the first item, so it takes no cursor; leave it out.")
        matching = self._searches.matching(text, query, options.analysers)
        search = Search(matching=matching, order=parsed_order(options.order), fields=options.fields)
        path = object_path.free("view", owner, options.token, self._views)
        if len(self.of(owner)) >= AT_MOST:
            raise errors.LimitExceeded(f"{owner} has {AT_MOST} views, which is the most; close one.")
        size = min(options.window, options.limit)
        source = self._source(search)
        view = View(path, owner, source, size, json=options.json, pause=self.pause, turn=self._turn)
        self._views[path] = view
        self._sought[view] = search
        for callback in self.on_added:
            callback(view)
        if self._peers is not None and owner not in self._watched:
            self._watched.add(owner)
            try:
                await self._peers.gone(owner, self.owner_gone)
            except BaseException:
                # Its end would be told to nobody.
                self.owner_gone(owner)
                raise
        return view

    def _source(self, search: Search) -> ViewSource:
        return ViewSource(self._store, search, count_seconds=self.count_seconds)

    def see(self, analysers: frozenset[str]) -> None:
        """Those who do not see every node see the nodes of these analysers from now on."""
        self._show(lambda shown: shown if shown.analysers is None else replace(shown, analysers=analysers))

    def hide(self, nodes: frozenset[Address]) -> None:
        """Nobody sees these nodes from now on, whatever is stored of them."""
        self._show(lambda shown: replace(shown, hidden=nodes))

    def _show(self, change: Callable[[Shown], Shown]) -> None:
        for view, search in self._sought.items():
            shown = change(search.matching.shown)
            if shown != search.matching.shown:
                self._sought[view] = replace(search, matching=replace(search.matching, shown=shown))
                view.look_again(self._source(self._sought[view]))

    def of(self, owner: str) -> list[View]:
        """The views of a client."""
        return [view for view in self._views.values() if view.owner == owner]

    def remove(self, view: View) -> None:
        """End a view; one that was ended already is ignored."""
        view.stop()
        self._sought.pop(view, None)
        if self._views.get(view.path) is view:
            del self._views[view.path]
            for callback in self.on_removed:
                callback(view)

    def owner_gone(self, owner: str) -> None:
        """A client left the bus: its views end."""
        self._watched.discard(owner)
        for view in self.of(owner):
            self.remove(view)

    def close(self) -> None:
        """End all."""
        for view in self.all():
            self.remove(view)

    def _committed(self, touched: Touched) -> None:
        for view in self._views.values():
            view.touch(touched)

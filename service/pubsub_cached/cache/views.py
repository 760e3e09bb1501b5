"""All views: made by a call, bound to their owners, told of every commit."""

from __future__ import annotations

from collections.abc import Callable

from .. import errors
from ..store.touched import Touched
from .view import PAUSE_SECONDS, Source, View

ROOT = "/im/pubsubcache1/view"
AT_MOST = 16


class Views:
    """Views by path. pause: of new ones, in seconds."""

    def __init__(self, pause: float = PAUSE_SECONDS) -> None:
        self.pause = pause
        self.on_added: list[Callable[[View], None]] = []
        self.on_removed: list[Callable[[View], None]] = []
        self._views: dict[str, View] = {}
        self._serial = 0

    def all(self) -> list[View]:
        """All views, oldest first."""
        return [*self._views.values()]

    def of(self, owner: str) -> list[View]:
        """The views of a client."""
        return [view for view in self._views.values() if view.owner == owner]

    def create(self, source: Source, size: int, owner: str, token: str = "", json: bool = False) -> View:
        """A view at ``…/view/<owner>/<token>``, still silent. Raises Conflict, LimitExceeded."""
        path = self._path(owner, token)
        if len(self.of(owner)) >= AT_MOST:
            raise errors.LimitExceeded(f"{owner} has {AT_MOST} views, which is the most; close one.")
        view = View(path, owner, source, size, json=json, pause=self.pause)
        self._views[path] = view
        for callback in self.on_added:
            callback(view)
        return view

    def remove(self, view: View) -> None:
        """End a view; one that was ended already is ignored."""
        view.stop()
        if self._views.get(view.path) is view:
            del self._views[view.path]
            for callback in self.on_removed:
                callback(view)

    def owner_gone(self, owner: str) -> None:
        """A client left the bus: its views end."""
        for view in self.of(owner):
            self.remove(view)

    def touched(self, touched: Touched) -> None:
        """Something was committed."""
        for view in self._views.values():
            view.touch(touched)

    def close(self) -> None:
        """End all."""
        for view in self.all():
            self.remove(view)

    def _path(self, owner: str, token: str) -> str:
        client = owner.lstrip(":").replace(".", "_")
        if token:
            path = f"{ROOT}/{client}/{token}"
            if path in self._views:
                raise errors.Conflict(f"The token '{token}' is in use by {path}; choose another.")
            return path
        while True:
            self._serial += 1
            path = f"{ROOT}/{client}/v{self._serial}"
            if path not in self._views:
                return path

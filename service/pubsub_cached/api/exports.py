"""Which object is where, and which signal follows which change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..address import Address
from ..bus import UNSANDBOXED, Tree
from ..object_path import ROOT
from .account import Account
from .analyser import Analyser
from .analyser import path as analyser_path
from .analysers import Analysers
from .cache import Cache
from .debug import Debug
from .job import Job
from .json import Json
from .logcontrol import LogControl
from .manager import Manager
from .pubsub import PubSub
from .view import View

if TYPE_CHECKING:
    from ..analysers.registry import Entry
    from ..cache.accounts.account import Account as CachedAccount
    from ..cache.house import House
    from ..cache.jobs import Job as CachedJob
    from ..cache.views.view import View as CachedView

LOG_CONTROL = "/org/freedesktop/LogControl1"


class Exports:
    """Puts a house on the bus: its objects, and those that come and go.

    Before ``open`` there is what can be looked at while the daemon is starting.
    """

    def __init__(self, tree: Tree, features: Sequence[str]) -> None:
        """features: what ``Manager.Features`` says beside what every daemon can do."""
        self._tree = tree
        self._manager = Manager(features)
        self._cache = Cache()
        self._pubsub = PubSub()
        self._analysers = Analysers()
        self._json = Json()
        self._debug = Debug()
        tree.export(ROOT, self._manager, self._cache, self._pubsub, self._analysers, self._json, self._debug)
        tree.export(LOG_CONTROL, LogControl(logging.getLogger()))

    def open(self, house: House) -> None:
        """Serve this house from now on."""
        for interface in (self._manager, self._cache, self._pubsub, self._analysers, self._json, self._debug):
            interface.open(house)
        self._private = house.privacy.known
        house.changes.on_items.append(self._items_changed)
        house.changes.on_node.append(self._node_changed)
        self._follow_accounts(house)
        self._follow_jobs(house)
        self._follow_views(house)
        self._follow_analysers(house)

    def _follow_accounts(self, house: House) -> None:
        house.accounts.on_added.append(self._account_added)
        house.accounts.on_removed.append(self._account_removed)
        for account in house.accounts.list():
            self._export_account(account)

    def _follow_jobs(self, house: House) -> None:
        house.jobs.on_added.append(self._job_added)
        house.jobs.on_removed.append(self._job_removed)
        for job in house.jobs.list():
            self._job_added(job)

    def _follow_views(self, house: House) -> None:
        def added(view: CachedView) -> None:
            view.listener = interface = View(view, lambda: house.views.remove(view))
            self._tree.export(view.path, interface, owner=view.owner)

        def removed(view: CachedView) -> None:
            self._tree.remove(view.path)
            # They hold each other, and all that is in the window.
            del view.listener

        house.views.on_added.append(added)
        house.views.on_removed.append(removed)

    def _follow_analysers(self, house: House) -> None:
        served: dict[str, Analyser] = {}

        def serve(entry: Entry) -> Analyser:
            served[entry.name] = interface = Analyser(entry, house.resume)
            owner = UNSANDBOXED if interface.private else None
            self._tree.export(analyser_path(entry.name), interface, managed=True, owner=owner)
            return interface

        def changed(name: str, registered: bool) -> None:
            if (before := served.pop(name, None)) is not None:
                self._tree.remove(analyser_path(name))
            now = serve(entry) if (entry := house.analysers.entry(name)) is not None else None
            last = now or before
            audience = UNSANDBOXED if last is not None and last.private else None
            if not registered:
                self._analysers.emit("Unregistered", name, destination=audience)
                return
            if before is not None and not before.private and audience is not None:
                # For those who hear no more of it.
                self._analysers.emit("Unregistered", name)
            self._analysers.emit("Registered", name, destination=audience)

        def state_changed(name: str) -> None:
            if name in served:
                served[name].changed()

        for entry in house.analysers.entries():
            serve(entry)
        house.analysers.on_change.append(changed)
        house.analysers.on_state.append(state_changed)

    def _export_account(self, account: CachedAccount) -> None:
        interface = Account(account)
        account.on_change.append(interface.changed)
        self._tree.export(account.path, interface, managed=True)

    def _account_added(self, account: CachedAccount) -> None:
        self._export_account(account)
        self._manager.emit("AccountAdded", account.path)

    def _account_removed(self, account: CachedAccount) -> None:
        self._tree.remove(account.path)
        self._manager.emit("AccountRemoved", account.path)

    def _job_added(self, job: CachedJob) -> None:
        interface = Job(job)
        job.on_change.append(interface.changed)
        job.on_progress.append(interface.progress)
        job.on_finished.append(lambda _: interface.finish())
        self._tree.export(job.path, interface, managed=True, owner=UNSANDBOXED if job.private else None)

    def _job_removed(self, job: CachedJob) -> None:
        self._tree.remove(job.path)

    def _audience(self, address: Address) -> str | None:
        """Who hears of a node: everyone, or of a private one those who may see it."""
        return UNSANDBOXED if self._private(address) else None

    def _items_changed(self, address: Address, changed: list[str], removed: list[str], revision: int) -> None:
        self._cache.emit("ItemsChanged", *address, changed, removed, revision, destination=self._audience(address))

    def _node_changed(self, address: Address, change: str) -> None:
        self._cache.emit("NodeChanged", *address, change, destination=self._audience(address))

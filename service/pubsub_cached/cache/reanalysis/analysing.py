"""Analysers that clients register, and what follows from any analyser that comes or goes.

A registration belongs to the client's unique name and ends with it; with ``persist`` the definition stays, in the
store, without an owner. Source: dbus-api.md, "Analysers, Analyser, AnalyserAgent".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from ... import errors
from ...address import Address
from ...analysers.agent import Peers
from ...analysers.definition import Definition, from_mapping
from ...analysers.registry import Matched, Registry
from ...pace import Pace
from ...store import indexes
from ...store.accounts import analysers as analyser_store
from ...store.rows import NodeRow
from ...store.store import Store
from ...tasks import Tasks, end
from ...xmpp.port import DiscoInfo
from ..accounts.accounts import Accounts
from ..nodes import metadata
from ..nodes.nodes import Nodes
from ..options import TIMEOUT
from ..parsing.agents import Agents
from ..revalidation.distrust import Distrust
from .reanalysis import Reanalysis

log = logging.getLogger(__name__)

A_CLIENT = 16
# First and longest wait (s) until it is tried again to see to the nodes, where the database fails.
AGAIN = 5.0
AGAIN_LONGEST = 3600.0

_ORIGINS = {"file": "comes from a file; remove that", "plugin": "comes from a plugin; uninstall that"}


class Analysing:
    """Registers analysers for clients; sees to nodes, announcements and indexes when analysers change."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        accounts: Accounts,
        nodes: Nodes,
        agents: Agents,
        reanalysis: Reanalysis,
        distrust: Distrust,
        peers: Peers | None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._accounts = accounts
        self._nodes = nodes
        self._agents = agents
        self._reanalysis = reanalysis
        self._distrust = distrust
        self._peers = peers
        # What watches the owners of analysers.
        self._owners: dict[str, asyncio.Future[None]] = {}
        self._indexed: frozenset[str] | None = None
        # Analysers whose nodes' turn to be matched has not begun, and those whose turn is not over.
        self._came: set[str] = set()
        self._catching_up: set[str] = set()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._following = Tasks()

    async def load(self) -> None:
        """Register what outlived its client; before anybody else is told of analysers."""
        for name, text in (await self._store.read(analyser_store.all)).items():
            try:
                self._registry.register(from_mapping(msgspec.json.decode(text)), "bus")
            except errors.PubSubCachedError as error:
                log.warning("the stored analyser '%s' can't be used: %s", name, error.message)

    def start(self) -> None:
        """Follow the registry, and see to what changed while the daemon did not run."""
        self._agents.start(self._match_again)
        self._registry.on_change.append(self._changed)
        self._registry.on_usable.append(lambda name: self._changed(name, True))
        self._came.update(entry.name for entry in self._registry.entries())
        self._news.set()
        self._following.begin(self._run(), "analysing")

    async def close(self) -> None:
        """Stop; what was not matched or parsed again is found at the next start."""
        await end(self._following)
        await self._reanalysis.close()
        await self._agents.close()

    async def settled(self) -> None:
        """Wait until nothing is left to be matched or parsed again here; agents are not waited for."""
        await self._idle.wait()

    async def register(self, name: str, keys: Mapping[str, Any], sender: str) -> str:
        """Register an analyser for a client; its normalised name.

        keys: of a definition, but ``name``. Raises InvalidAnalyser, Conflict, LimitExceeded, and StorageFull and
        DatabaseError when it can't be kept; then there is none of this name.
        """
        definition = from_mapping({**keys, "name": name})
        self._check_number(definition, sender)
        with self._agents.held(definition.name):
            await self._register(definition, sender)
        return definition.name

    async def _register(self, definition: Definition, sender: str) -> None:
        registered = self._registry.register(definition, "bus", sender)
        try:
            await self._watch(sender)
            if definition.persist:
                await self._store.write(analyser_store.put, definition.name, definition.to_json())
            else:
                await self._store.write(analyser_store.remove, definition.name)
        except errors.PubSubCachedError:
            # It may be another client's by now.
            if self._registry.get(definition.name) is registered:
                self._registry.unregister(definition.name)
            raise

    async def _watch(self, owner: str) -> None:
        if self._peers is None:
            return
        if owner not in self._owners:
            self._owners[owner] = asyncio.ensure_future(self._peers.gone(owner, self._owner_gone))
        watched = self._owners[owner]
        try:
            # Whoever registers several at once waits with each.
            await asyncio.shield(watched)
        except BaseException:
            if self._owners.get(owner) is watched:
                # Its end would be told to nobody.
                self._owner_gone(owner)
            raise

    async def unregister(self, name: str, sender: str) -> None:
        """Remove an analyser; its nodes stay as they are until they are matched again.

        Raises NotRegistered, NotOwner.
        """
        entry = self._registry.entry(name)
        if entry is None:
            raise errors.NotRegistered(f"There is no analyser '{name}'; List says which there are.")
        if entry.origin != "bus":
            origin = _ORIGINS.get(entry.origin, "is built in")
            raise errors.NotOwner(f"The analyser '{entry.name}' {origin}.")
        if entry.owner not in ("", sender):
            raise errors.NotOwner(f"The analyser '{entry.name}' belongs to {entry.owner}, which may unregister it.")
        definition = entry.definition
        # First, or one that can't be forgotten would be back at the next start, and nobody could unregister it.
        await self._store.write(analyser_store.remove, entry.name)
        if self._registry.get(entry.name) is definition:
            self._registry.unregister(entry.name)

    async def match(self, address: Address) -> tuple[str, dict[str, str]]:
        """The analyser of a node, "" for none, and what matched or why nothing did.

        Of a node that the cache does not know the service is asked, when there is a session.
        """
        node = await self._nodes.find(address)
        account = self._accounts.get(address.account)
        if node is not None and node.state != "unknown":
            return _told(self._nodes.match_stored(node))
        info, namespace = DiscoInfo(), ""
        # Else its name, and what the service has said of it, is all that there is to go by.
        with contextlib.suppress(errors.StanzaError, errors.Timeout, errors.Offline, TimeoutError):
            session, seconds = await account.session_within(TIMEOUT)
            async with asyncio.timeout(seconds):
                info = await metadata.describe(session, address)
                newest = await self._nodes.newest(session, address)
            namespace = newest.namespace if newest is not None else ""
        return _told(self._nodes.match(address, info, namespace))

    def _check_number(self, definition: Definition, sender: str) -> None:
        mine = [entry for entry in self._registry.entries() if sender and entry.owner == sender]
        if len(mine) >= A_CLIENT and all(entry.name != definition.name for entry in mine):
            raise errors.LimitExceeded(f"{sender} has {len(mine)} analysers and may have {A_CLIENT}; unregister one.")

    def _owner_gone(self, owner: str) -> None:
        self._owners.pop(owner, None)
        for entry in self._registry.entries():
            if entry.origin != "bus" or entry.owner != owner or entry.definition is None:
                continue
            if entry.definition.persist:
                self._registry.set_state(entry.name, "active", owner="")
                self._agents.changed(entry.name, True)
            else:
                self._registry.unregister(entry.name)

    def _changed(self, name: str, registered: bool) -> None:
        if registered:
            self._came.add(name)
        self._news.set()
        self._idle.clear()

    async def _run(self) -> None:
        delay = AGAIN
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._follow()
                delay = AGAIN
            except errors.PubSubCachedError as error:
                log.warning("analysers changed, and not all nodes could be matched or parsed yet: %s", error.message)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), delay)
                delay = min(delay * 2, AGAIN_LONGEST)
                self._news.set()
            except Exception:
                log.exception("analysers changed, and not all nodes could be matched or parsed again")
            if not self._news.is_set():
                self._idle.set()

    async def _follow(self) -> None:
        """What analysers that came or went mean for announcements, indexes and nodes."""
        if (interests := self._registry.interests()) != (before := self._accounts.interests):
            self._accounts.set_interests(interests)
            await self._distrust.announced_no_more(before - interests)
        await self._index()
        came, self._came = self._came, set()
        self._catching_up = {*came}
        try:
            if any(self._registry.get(name) is not None for name in came):
                pace = Pace()
                for name in sorted(came):
                    await self._reanalysis.catch_up(name)
                    self._catching_up.discard(name)
                    await pace.kept()
                await self._reanalysis.adopt(came)
        except errors.PubSubCachedError:
            self._came |= came
            raise

    async def _match_again(self, row: NodeRow) -> NodeRow | None:
        """Match a node that is parsed before its analyser's turn, which would not find that it was behind."""
        if row.analyser not in self._came | self._catching_up:
            return row
        return await self._reanalysis.match_again(row)

    async def _index(self) -> None:
        """Have an index on every path that an analyser asks for, and on no other."""
        wanted = frozenset(path for definition in self._registry.definitions() for path in definition.indexes)
        if wanted != self._indexed:
            for path in sorted(wanted):
                # Each by itself: with many items it takes seconds, and whatever else is to be written waits meanwhile.
                await self._store.write(indexes.ensure, [path])
            await self._store.write(indexes.keep, sorted(wanted))
            self._indexed = wanted


def _told(matched: Matched) -> tuple[str, dict[str, str]]:
    return matched.analyser, matched.why

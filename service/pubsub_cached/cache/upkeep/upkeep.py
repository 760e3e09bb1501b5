"""The database looked at, repaired and compacted, and how large it is.

What can be wrong in the database is ``store.upkeep.check``'s; here are the jobs, and what only the services can tell.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection

from ... import errors
from ...counting import counted, were
from ...store.accounts import nodes as node_store
from ...store.accounts import schedule
from ...store.accounts.schedule import Entry
from ...store.rows import NodeRow
from ...store.store import Store, Transaction
from ...store.upkeep import check as checks
from ...store.upkeep import maintenance
from ..accounts.account import Account
from ..accounts.accounts import Accounts
from ..changes import Changes
from ..jobs import Job, Jobs
from ..nodes.nodes import Nodes
from ..nodes.transitions import UNSUBSCRIBED, untold
from ..sync.sync import Sync
from .removal import drop_discarded

log = logging.getLogger(__name__)


class Upkeep:
    """Check, Compact and the statistics."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        nodes: Nodes,
        sync: Sync,
        changes: Changes,
        jobs: Jobs,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._nodes = nodes
        self._sync = sync
        self._changes = changes
        self._jobs = jobs
        self._clock = clock
        self._started = clock()

    async def statistics(self) -> dict[str, Any]:
        """``records.StatisticsRecord``."""
        found = await self._store.read_all(maintenance.statistics)
        running = sum(1 for job in self._jobs.list() if not job.finished)
        return found | {"recovered-from": self._store.recovered_from, "started": self._started, "jobs": running}

    def check(self, sender: str = "") -> Job:
        """A job that looks for everything that can be wrong, and repairs it."""

        async def work(job: Job) -> str:
            mended: list[str] = []
            steps = (self._text_index, self._damage, self._orphans, self._counters, self._counts)
            services = await self._subscribed()
            total = len(steps) + len(services)
            for number, step in enumerate(steps):
                job.progress(number, total)
                mended += await step()
            for number, (account, service, entries) in enumerate(services, len(steps)):
                job.progress(number, total, f"asking {service}")
                mended += await self._subscriptions(account, service, entries)
            job.progress(total, total)
            for sentence in mended:
                log.warning("check: %s", sentence)
            return " ".join(mended) or "Nothing is wrong."

        return self._jobs.start("check", work, sender)

    def compact(self, sender: str = "") -> Job:
        """A job that gives disk space back."""

        async def work(job: Job) -> str:
            await drop_discarded(self._store)
            given = await self._store.maintain(self._store.dialect.compact)
            return f"{max(given, 0)} bytes were given back."

        return self._jobs.start("compact", work, sender)

    # What may be wrong in the database

    async def _text_index(self) -> list[str]:
        if not await self._store.write(checks.text_index_wrong):
            return []
        await self._store.write(checks.rebuild_text_index)
        return ["The index of the full-text search differed from the items and was made anew."]

    async def _damage(self) -> list[str]:
        found = await self._damages()
        if not found:
            return []
        log.error("The database is damaged: %s", "; ".join(found))
        with contextlib.suppress(errors.DatabaseError):
            await self._store.write(checks.rebuild_indexes)
        if left := await self._damages():
            self._store.suspect()
            raise errors.DatabaseError(
                f"The database is damaged: {left[0].rstrip('.')}. Restart the daemon: a file that can't be read is set "
                "aside, and what is kept is fetched anew."
            )
        return ["Indexes of the database were damaged and were made anew."]

    async def _damages(self) -> list[str]:
        try:
            return await self._store.read_all(checks.damage)
        except errors.DatabaseError as error:
            if not self._store.is_damage(error):
                raise
            return [error.message]

    async def _orphans(self) -> list[str]:
        if not await self._store.read_all(checks.orphans):
            return []
        removed = await self._store.write(checks.remove_orphans)
        return [f"There {were(removed)} {counted(removed, 'row')} that belonged to nothing and had to go."]

    async def _counters(self) -> list[str]:
        if not await self._store.read_all(checks.counters_behind):
            return []
        await self._store.write(checks.advance_counters)
        return ["The counter of revisions was behind the items and was advanced."]

    async def _counts(self) -> list[str]:
        if not await self._store.read_all(checks.miscounted):
            return []
        wrong = await self._store.write(checks.recount)
        for address in wrong:
            self._changes.node(address, "updated")
        return [f"The count of items or the revision of {counted(len(wrong), 'node')} was wrong and was put right."]

    # What only the services can tell

    async def _subscribed(self) -> list[tuple[Account, str, list[Entry]]]:
        """Nodes that count as subscribed, by account and service; of accounts that are online."""
        found = await self._store.read_all(_by_service)
        online = {account.jid: account for account in self._accounts.list() if account.online}
        return [(online[jid], service, entries) for (jid, service), entries in sorted(found.items()) if jid in online]

    async def _subscriptions(self, account: Account, service: str, entries: list[Entry]) -> list[str]:
        listed = await self._sync.subscriptions.look(account.session, account.jid, service)
        if listed is None:
            return []
        there = {node for node, found in listed.items() if any(each.state != "none" for each in found)}
        vanished = [entry for entry in entries if entry.address.node not in there]
        if vanished:
            # It would be taken for true until the next session.
            self._sync.subscriptions.forget(account.jid)
        for entry in vanished:
            # A synchronisation under way, which is joined below, may have found it before it ended.
            self._sync.disturbed(entry.address)
        # All of them at once, for one may be subscribed to again while another is synchronised.
        # Whoever synchronises one may have made it again since.
        ended = [entry.id for entry in vanished if not self._sync.running(entry.address)]
        unsubscribed = await self._store.write(_unsubscribe, ended, self._clock())
        for written in unsubscribed:
            self._nodes.told(written)
        failed = 0
        for entry in vanished:
            if await self._nodes.find(entry.address) is None:
                continue
            try:
                await self._sync.run(entry.address)
            except errors.PubSubCachedError as error:
                log.warning("%s could not be subscribed to again: %s", entry.address, error.message)
                failed += 1
        return [_vanished(service, len(vanished), failed)] if vanished else []


def _unsubscribe(tx: Transaction, node_ids: Sequence[int], now: int) -> list[tuple[NodeRow, NodeRow]]:
    """Nodes whose subscription ended without a word; their rows before and after."""
    rows = [row for id_ in node_ids if (row := node_store.by_id(tx.connection, id_)) is not None]
    return [(row, node_store.update(tx, row.id, **UNSUBSCRIBED, **untold(row, now))) for row in rows]


def _vanished(service: str, count: int, failed: int) -> str:
    outcome = f"{failed} of them could not be made again" if failed else "the nodes were synchronised again"
    return f"{service} no longer listed {counted(count, 'subscription')}; {outcome}."


def _by_service(conn: Connection) -> dict[tuple[str, str], list[Entry]]:
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in schedule.subscribed(conn):
        found.setdefault((entry.address.account, entry.address.service), []).append(entry)
    return found

"""The outbox: what a client wants published or retracted as soon as that is possible.

Durable, in order per node, one job each; how one is sent is in ``sending``. Source: dbus-api.md "PubSub".
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Sequence
from uuid import uuid4

from ... import errors
from ...address import Address
from ...pace import Pace
from ...store.accounts import nodes as node_store
from ...store.accounts import outbox as outbox_store
from ...store.accounts.outbox import Action, Bases, Entry
from ...store.items.pages import read_items
from ...store.rows import KEPT, ItemsQuery, digest
from ...store.store import Store
from ...tasks import Tasks
from ...writable import check_texts
from ...xmpp.port import Fields, Item, Session
from ..accounts.accounts import Accounts
from ..changes import Changes
from ..jobs import Job, Jobs
from ..nodes.privacy import Privacy
from ..parsing.parsing import Parsing
from ..policy import servable
from ..reads.pass_through import PassThrough
from .sending import NOTHING, Sending, described, wanted
from .writing import Writing

log = logging.getLogger(__name__)

KIND = "outbox"
WAITING_AT_MOST = 1000
# Seconds until it is tried again to remove what is done with, where the database fails.
AGAIN = 5.0


class Outbox:
    """Everything that waits to be sent; ``waiting`` holds it by node, in order."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        writing: Writing,
        parsing: Parsing,
        changes: Changes,
        jobs: Jobs,
        clock: Callable[[], int],
        privacy: Privacy,
        pass_through: PassThrough,
    ) -> None:
        self.waiting: dict[Address, list[Entry]] = {}
        self.store = store
        self.writing = writing
        self.pass_through = pass_through
        self._parsing = parsing
        self._accounts = accounts
        self._changes = changes
        self._jobs = jobs
        self._clock = clock
        self._privacy = privacy
        self._turns: dict[Address, asyncio.Lock] = {}
        self._started: dict[Address, list[Job]] = {}
        self._connected: dict[str, asyncio.Event] = {}
        self._endings = Tasks()
        self._adding = asyncio.Lock()
        # What is being stored.
        self._stored: Entry | None = None
        # What services may hold of what was sent and not answered, by id.
        self._unanswered: dict[Address, dict[str, set[str]]] = {}
        self._closing = asyncio.Event()
        # Accounts whose entries stay where they are.
        self._left: set[str] = set()
        # Accounts of which what was stored before has begun here.
        self._begun: set[str] = set()
        accounts.on_removed.append(lambda account: self._removed(account.jid))

    async def load(self) -> None:
        """Go on with what waited when the daemon ended, of the accounts that it runs."""
        async with self._adding:
            await self._load()
            self._begun |= {each.jid for each in self._accounts.list() if each.enabled and not each.waits}

    async def taken(self, account: str) -> None:
        """Go on with what waits of an account that another daemon ran until now."""
        async with self._adding:
            await self._go_on(account)

    def left(self, account: str) -> None:
        """Another daemon may run the account and go on with what waits; the jobs here end."""
        self._left.add(account)
        self._begun.discard(account)
        self._forget(account)

    def close(self) -> None:
        """End the jobs here; they go on at the next start."""
        self._closing.set()
        for job in self._jobs.list():
            if job.kind == KIND:
                job.stop()

    def session_started(self, account: str) -> None:
        """The account can be asked again."""
        self._connection(account).set()

    async def publish(
        self, address: Address, item_id: str, payload: str, options: Fields, sender: str, token: str
    ) -> str:
        """Publish an item when that is possible; its id, made up where it is "".

        Raises Conflict, LimitExceeded, InvalidArgs for what can't be sent, NotSupported for what is never stored.
        """
        id_ = item_id or uuid4().hex
        fields = {name: list(values) for name, values in options.items()}
        check_texts((address.node, id_, *fields, *itertools.chain(*fields.values())))
        # They wait in the order in which they were given, however long each is looked at.
        async with self._adding:
            await self._parsing.check_storable(address, payload)
            made_up: Bases = {} if item_id else {id_: NOTHING}
            await self._add(address, "publish", [id_], made_up, sender, token, payload=payload, options=fields)
        return id_

    async def retract(self, address: Address, ids: Sequence[str], notify: bool, sender: str, token: str) -> None:
        """Retract items when that is possible. Raises Conflict, LimitExceeded, InvalidArgs."""
        check_texts((address.node, *ids))
        async with self._adding:
            await self._add(address, "retract", ids, {}, sender, token, notify=notify)

    # What a sending needs

    async def session(self, account: str) -> Session:
        """The account's session, as soon as there is one."""
        return await self._accounts.get(account).session_at_last()

    def epoch(self, account: str) -> int | None:
        """Which session the account has, None for none; between two of them events may have been missed."""
        found = self._accounts.get(account)
        return found.epoch if found.online else None

    async def pause(self, account: str, seconds: float) -> None:
        """Wait, or until a new session, which may find the service in another state."""
        connected = self._connection(account)
        connected.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await connected.wait()

    def sending(self, entry: Entry, id_: str) -> None:
        """The service may have an item of an entry as it is to be from now on, though nobody may hear of it."""
        self._unanswered.setdefault(entry.address, {}).setdefault(id_, set()).add(wanted(entry))

    def unanswered(self, address: Address, id_: str) -> set[str]:
        """What a service may have under an id of what was cancelled or given up as it was sent."""
        return self._unanswered.get(address, {}).get(id_, set())

    def sent(self, entry: Entry, id_: str) -> None:
        """The service has an item of an entry as it is to be, which is what those behind it go on from."""
        self._unanswered.get(entry.address, {}).pop(id_, None)
        for other in self._at(entry.address):
            if id_ in other.items:
                other.items[id_] = wanted(entry)

    def for_several(self, entry: Entry) -> bool:
        """Whether a node in which an entry's item is holds others beside it, as far as the analysers know it."""
        return self._parsing.kind_of(entry.address, entry.payload) != "last"

    async def as_stored(self, address: Address, item: Item) -> str:
        """A service's payload as the cache would keep it, which is what a client read."""
        node = await self.store.read(node_store.find, address)
        return (await self._parsing.one(address, node, item)).payload

    def _connection(self, account: str) -> asyncio.Event:
        return self._connected.setdefault(account, asyncio.Event())

    async def _add(
        self,
        address: Address,
        action: Action,
        ids: Sequence[str],
        items: Bases,
        sender: str,
        token: str,
        *,
        payload: str = "",
        options: dict[str, list[str]] | None = None,
        notify: bool = True,
    ) -> None:
        """Queue something; items: what is known of ids as it is."""
        if sum(map(len, self.waiting.values())) >= WAITING_AT_MOST:
            raise errors.LimitExceeded(
                f"{WAITING_AT_MOST} writes wait to be sent; connect the accounts, or cancel some of their jobs."
            )
        with self._jobs.promised(sender, token) as path:
            entry = Entry(
                address=address,
                action=action,
                payload=payload,
                options=options or {},
                notify=notify,
                items=items,
                path=path,
                queued_at=self._clock(),
            )
            # What is sent meanwhile changes what it goes on from.
            self._stored = entry
            try:
                await self._look(entry, ids)
                entry = await self.store.write(outbox_store.add, entry)
            finally:
                self._stored = None
        if address.account in self._begun:
            self._start(entry)
        else:
            # It may be run here for a moment only: what waited before goes first.
            await self._go_on(address.account)
        await self._tell(address)

    async def _load(self) -> None:
        # Some may end meanwhile.
        begun = {entry.id for entries in self.waiting.values() for entry in entries}
        entries = await self.store.read(outbox_store.all)
        known = {account.jid for account in self._accounts.list()} - self._left
        for entry in entries:
            if entry.address.account in known and entry.id not in begun:
                # Of those behind one another the first alone has what counts.
                for id_ in entry.items:
                    before = self._before(entry.address, id_)
                    if before is not None and before.items[id_] is not None:
                        entry.items[id_] = before.items[id_]
                self._start(entry)

    async def _go_on(self, account: str) -> None:
        """Begin what waits of an account that is run here."""
        self._left.discard(account)
        await self._load()
        self._begun.add(account)

    async def _look(self, entry: Entry, ids: Sequence[str]) -> None:
        """Find what the service has under the ids of an entry."""
        pace = Pace()
        for id_ in ids:
            if id_ not in entry.items:
                entry.items[id_] = await self._base(entry.address, id_)
                await pace.kept()

    async def _base(self, address: Address, id_: str) -> str | None:
        """What the service has under an id, as far as that is known."""
        if (entry := self._before(address, id_)) is not None:
            # Until that is sent, which it may never be.
            return entry.items[id_]
        query = ItemsQuery(ids=(id_,), fields=frozenset({"payload"}))
        node, _, found = await self.store.read(read_items, address, query)
        if node is None or found is None or not servable(node):
            return None
        if found.items:
            payload = found.items[0].get("payload", "")
            return digest(payload, "") if payload else None
        return "" if node.completeness == "full" else None

    def _before(self, address: Address, id_: str) -> Entry | None:
        """The last that waits with an id."""
        return next((entry for entry in reversed(self.waiting.get(address, ())) if id_ in entry.items), None)

    def _start(self, entry: Entry) -> None:
        address = entry.address
        self.waiting.setdefault(address, []).append(entry)
        turn = self._turns.setdefault(address, asyncio.Lock())

        async def work(job: Job) -> str:
            kept = False
            try:
                async with turn:
                    return await Sending(self, entry, job).run()
            except asyncio.CancelledError:
                kept = self._kept(address)
                if address.account in self._left:
                    raise errors.Cancelled(f"{described(entry)} goes on in the daemon that runs the account.") from None
                raise
            finally:
                await self._end(entry, job, kept)

        message = f"{described(entry)} waits to be sent."
        job = self._jobs.queue(KIND, work, entry.path, message, private=self._privacy.private(address))
        job.on_finished.append(lambda job: self._cancelled_unbegun(entry, job))
        self._started.setdefault(address, []).append(job)

    def _cancelled_unbegun(self, entry: Entry, job: Job) -> None:
        """Clear up after a job that was cancelled before its work could begin, and so could not end."""
        if job in self._started.get(entry.address, ()):
            self._endings.begin(self._ended(entry, job, self._kept(entry.address)))

    async def _end(self, entry: Entry, job: Job, kept: bool) -> None:
        """Clear up after an entry; whoever cancels its job by now comes too late."""
        ending = self._endings.begin(self._ended(entry, job, kept))
        while not ending.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([ending])
        await ending

    async def _ended(self, entry: Entry, job: Job, kept: bool) -> None:
        """An entry was sent, refused or cancelled, or goes on at the next start."""
        address = entry.address
        self._started[address].remove(job)
        try:
            if not kept:
                await self._remove(entry)
        finally:
            self.waiting[address] = [other for other in self.waiting[address] if other.id != entry.id]
            if not self.waiting[address]:
                del self.waiting[address], self._turns[address], self._started[address]
                self._unanswered.pop(address, None)
        if not kept:
            await self._tell(address)

    async def _remove(self, entry: Entry) -> None:
        """Remove an entry; it would be sent, or sent again, after a restart, so that it is not over before that."""
        while True:
            try:
                return await self.store.write(outbox_store.remove, entry, self._followed(entry))
            except errors.STORAGE as error:
                if self._kept(entry.address):
                    raise asyncio.CancelledError from error
                log.warning("%s can't be removed from the outbox yet: %s", described(entry), error.message)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), AGAIN)

    def _followed(self, entry: Entry) -> bool:
        """Whether others go on from what an entry leaves."""
        others = (other for other in self._at(entry.address) if other.path != entry.path)
        return any(not other.items.keys().isdisjoint(entry.items) for other in others)

    def _at(self, address: Address) -> list[Entry]:
        """What waits for a node, or is about to."""
        stored = [self._stored] if self._stored is not None and self._stored.address == address else []
        return [*self.waiting[address], *stored]

    def _kept(self, address: Address) -> bool:
        """Whether an entry whose job ends by itself goes on elsewhere, or at another time."""
        return self._closing.is_set() or address.account in self._left

    async def _tell(self, address: Address) -> None:
        """What a read shows as pending changed, of a node that is kept."""
        try:
            node = await self.store.read(node_store.find, address)
        except errors.STORAGE as error:
            # It waits, or is over, all the same.
            log.warning("whether what waits is shown at %s can't be told: %s", address, error.message)
            return
        if node is not None and node.state in KEPT:
            self._changes.node(address, "updated")

    def _removed(self, account: str) -> None:
        self._forget(account)
        self._connected.pop(account, None)
        self._left.discard(account)
        self._begun.discard(account)

    def _forget(self, account: str) -> None:
        """Nothing of the account is sent here any more."""
        for address, jobs in list(self._started.items()):
            if address.account == account:
                for job in jobs:
                    job.cancel()

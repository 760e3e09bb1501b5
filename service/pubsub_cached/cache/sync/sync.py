"""Synchronisation by mark and sweep: one a node at a time, joined by whoever wants it as well, few a domain.

What is done in one pass is in ``rounds``. Source: the coherence model, "Synchronisation: mark and sweep".
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from ... import errors
from ...address import Address
from ...counting import are, counted
from ...store.accounts import schedule
from ...store.rows import KEPT, UNPROVED, NodeRow
from ...store.store import Store
from ...tasks import end
from ..accounts.accounts import Accounts
from ..jobs import Job, Jobs
from ..nodes import transitions
from ..nodes.facts import Facts
from ..nodes.nodes import Nodes
from .batches import Progress
from .overwrites import Overwrites, Question
from .rounds import Rounds
from .running import Running
from .subscriptions import Subscriptions
from .turnstile import Turnstile

log = logging.getLogger(__name__)

AT_ONCE_A_DOMAIN = 2
# A node purged again and again while it is fetched is left for later.
ROUNDS_AT_MOST = 5


class Sync:
    """Brings nodes to what their service holds, one synchronisation a node at a time."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        nodes: Nodes,
        jobs: Jobs,
        rounds: Rounds,
        subscriptions: Subscriptions,
        facts: Facts,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._nodes = nodes
        self._jobs = jobs
        self._rounds = rounds
        self.subscriptions = subscriptions
        self.facts = facts
        self.overwrites = Overwrites(facts, nodes.failed)
        # Waits for the events that have come so far; see ``follow``.
        self.caught_up: Callable[[], Awaitable[None]]
        self._turnstile = Turnstile(AT_ONCE_A_DOMAIN)
        self._running: dict[Address, Running] = {}
        self._closed = False

    def follow(self, caught_up: Callable[[], Awaitable[None]], applied: Callable[[], Awaitable[None]]) -> None:
        """How to wait for the events that have come so far: until they are handed to the store, and committed."""
        self.caught_up = self._rounds.caught_up = self.overwrites.caught_up = caught_up
        self._rounds.applied = applied

    async def start(self, address: Address, full: bool, sender: str, token: str) -> Job:
        """A job that synchronises and pins the node; ``full`` fetches everything whatever is known.

        Raises NotSupported for an excluded node, Conflict, LimitExceeded.
        """
        node = await self._nodes.find(address)
        named = self._nodes.match_name(address)
        if named.excluded or (node is not None and node.state == "excluded"):
            raise _never_stored(address)
        return self.job(address, sender, token, pin=True, full=full)

    def job(self, address: Address, sender: str = "", token: str = "", *, pin: bool = False, full: bool = False) -> Job:
        """A job that synchronises the node, or joins the synchronisation under way."""

        async def work(job: Job) -> str:
            node = await self.run(address, pin=pin, full=full, progress=job.progress)
            count = node.item_count
            return f"{counted(count, 'item')} of {address} {are(count)} {node.state}."

        return self._jobs.start("sync", work, sender, token, private=self._nodes.privacy.private(address))

    def in_background(self, address: Address) -> asyncio.Task[NodeRow]:
        """Synchronise without anybody waiting; a failure is written down in the node. The task that does it."""
        running = self._running.get(address)
        if running is None:
            running = self._begin(address, Running(urgent=False, pin=False, full=False))
        elif running.in_vain:
            self.begin_anew(address)
        # Never given up, whoever else waits for it and does so no more.
        running.waiters += 1
        return running.task

    def begin_anew(self, address: Address) -> None:
        """Synchronise in the background; one under way does not count, for what is known now it may not know."""
        running = self._running.get(address)
        if running is None:
            self.in_background_unless_closed(address)
        else:
            running.task.add_done_callback(lambda _: self.in_background_unless_closed(address))

    def in_background_unless_closed(self, address: Address) -> None:
        """As ``in_background``, for what may come only once the daemon stops."""
        if not self._closed:
            self.in_background(address)

    async def run(
        self, address: Address, *, pin: bool = False, full: bool = False, progress: Progress | None = None
    ) -> NodeRow:
        """Synchronise now and wait; ``full``: fetch everything. Raises what a read would raise."""
        while (running := self._running.get(address)) is not None and running.in_vain:
            # First it writes down what it made at the service.
            await running.ended()
        if running is None:
            running = self._begin(address, Running(urgent=True, pin=pin, full=full))
        else:
            running.pin |= pin
            running.full |= full
            running.urgent = True
            running.ticket.hurry()
        if progress is not None:
            running.progress.append(progress)
        running.waiters += 1
        try:
            return await asyncio.shield(running.task)
        except asyncio.CancelledError:
            mine = asyncio.current_task()
            if running.task.cancelled() and mine is not None and not mine.cancelling():
                # The daemon stops.
                raise errors.Cancelled(f"The synchronisation of {address} was cancelled.") from None
            if running.waiters == 1 and not running.forgotten:
                # Else what it has made at the service is given up once that has answered.
                running.task.cancel()
            raise
        finally:
            running.waiters -= 1
            if progress is not None:
                running.progress.remove(progress)

    def running(self, address: Address) -> bool:
        """Whether the node is being synchronised."""
        running = self._running.get(address)
        return running is not None and not running.in_vain

    def subscribing(self, address: Address) -> bool:
        """Whether the service is about to be asked for items, which are no older than what it has sent until then."""
        running = self._running.get(address)
        return running is not None and running.subscribing

    async def ended(self, address: Address) -> None:
        """Wait until the node is not being synchronised."""
        while (running := self._running.get(address)) is not None:
            await running.ended()

    def touched(self, address: Address, ids: list[str], *, session: int, missed: bool) -> None:
        """An event of this session changed these items; a synchronisation under way leaves them as they are.

        missed: other events of the node may have been before it.
        """
        self.overwrites.changed(address, ids, session=session, missed=missed)
        if (running := self._running.get(address)) is not None:
            running.touched.update(ids)
            running.touched_since.update(ids)

    def ask(self, question: Question, youngest: str) -> None:
        """Find out where the service put an overwritten item; youngest: the one that was made last, "" to drop it."""
        account = question.address.account
        if youngest and self._accounts.online(account):
            self.overwrites.ask(self._accounts.get(account).session, question, youngest)
        else:
            self.overwrites.drop(question)

    def disturbed(self, address: Address) -> None:
        """The whole node changed; what a synchronisation under way has fetched counts for nothing."""
        if (running := self._running.get(address)) is not None:
            running.disturbed = True

    async def load(self, account: str = "") -> None:
        """Know of which services events were asked for before this start, and what they were seen to do.

        account: the one that was run by another daemon until now.
        """
        await self.facts.load(account)
        for jid, service in await self._store.read(schedule.subscribed_services):
            self.subscriptions.solicit(jid, service)

    def all_disturbed(self) -> None:
        """Everything is to be forgotten; what is being fetched counts for nothing."""
        self.facts.forget()
        self.overwrites.forget()
        # Those of nodes without a row as well.
        self._nodes.negatives.forget()
        for running in self._running.values():
            running.disturbed = True

    def forgotten(self, address: Address) -> None:
        """The node's row was removed from the cache: who wants it from now on has it synchronised anew."""
        self.subscriptions.forget_node(address)
        self.overwrites.compared(address)
        if (running := self._running.get(address)) is not None:
            running.forgotten = True

    def forget_account(self, account: str) -> None:
        """The account was removed."""
        self.subscriptions.forget_account(account)
        self._rounds.forget_account(account)
        self.overwrites.forget_account(account)
        self.facts.forget_account(account)

    @contextmanager
    def declining(self, address: Address, *, forgets: bool = False) -> Iterator[None]:
        """As the context of ``Acts``; what a synchronisation under way took for granted counts for nothing."""
        with self.subscriptions.acts.declining(address, forgets=forgets):
            try:
                yield
            finally:
                self.disturbed(address)

    def can_unsubscribe(self, node: NodeRow) -> bool:
        """Whether there is no subscription to give up, or a session to do it in."""
        return not node.own_subscription or self._accounts.online(node.address.account)

    async def unsubscribe(self, address: Address, subid: str, claims: int) -> bool:
        """Give up a subscription that the daemon itself made; see ``Subscriptions.give_up``. False while offline."""
        account = self._accounts.get(address.account)
        return account.online and await self.subscriptions.give_up(account.session, address, subid, claims)

    async def settled(self) -> None:
        """Wait until no synchronisation runs."""
        while self._running:
            await asyncio.wait([running.task for running in self._running.values()])
        await self.overwrites.settled()

    async def close(self) -> None:
        """Stop what runs; the old content stays."""
        self._closed = True
        await end([running.task for running in self._running.values()])
        await self.overwrites.close()

    def _begin(self, address: Address, running: Running) -> Running:
        self._running[address] = running
        running.task = asyncio.create_task(self._guarded(address, running), name=f"sync {address}")
        # Whoever waits for it may give up, and leave it to those that do not.
        running.task.add_done_callback(_log_failure)
        return running

    async def _guarded(self, address: Address, running: Running) -> NodeRow:
        try:
            async with self._turnstile.pass_(address.domain, urgent=running.urgent, ticket=running.ticket):
                return await self._synchronise(address, running)
        except errors.PubSubCachedError as error:
            if isinstance(error, errors.Cancelled):
                # Its row went, and of one that was made since it says nothing.
                raise
            if running.forgotten:
                raise await self._forgotten(address, running) from error
            running.failed = True
            raise await self._nodes.failed(address, error) from error
        except asyncio.CancelledError:
            if not self._closed:
                await self._nodes.failed(address, errors.Cancelled(f"Nobody waits for {address} any more."))
            raise
        finally:
            del self._running[address]
            if running.forgotten:
                # Once more, for what was found out since.
                self.subscriptions.forget_node(address)

    async def _synchronise(self, address: Address, running: Running) -> NodeRow:
        account = self._accounts.get(address.account)
        retyped = False
        for number in range(ROUNDS_AT_MOST):
            session = await account.session_when_ready()
            epoch = account.epoch
            running.touched.clear()
            running.disturbed = False
            running.declines = self.subscriptions.acts.declines(address)
            claims = self.subscriptions.acts.claims(address)
            running.doubts = self._nodes.proofs.doubts
            running.since_a_gap = self.overwrites.since_a_gap(address)
            running.later = functools.partial(self.overwrites.since_a_gap, address, epoch)
            node = await self._nodes.find(address)
            if node is None and (number or running.forgotten):
                # By what counted when the subscription was made, or while this waited for its turn.
                raise await self._forgotten(address, running)
            running.claims = claims
            if node is not None and node.state == "excluded":
                # What was made for it at the service is given up by itself.
                if running.pin:
                    raise _never_stored(address)
                return node
            fresh = node is None or node.state in ("unknown", "discovered", "gone", "denied")
            try:
                if node is None or fresh or retyped or node.reason in ("configuration", UNPROVED):
                    whole = running.pin and (node is None or not node.analyser)
                    node, matched = await self._nodes.discover(
                        session, address, known=node is not None, asked=running.urgent, whole=whole
                    )
                    if matched.excluded and running.pin:
                        raise _never_stored(address)
                    if node.state in ("denied", "gone"):
                        # It became so since the service was asked, and may be something else by now.
                        continue
                    if matched.excluded or not (running.pin or node.state in KEPT):
                        return node
                done = await self._rounds.run(account, session, node, running)
                if done is not None and running.pin and not done.pinned:
                    # Somebody who joined at the last moment wants it to stay.
                    done = await self._nodes.update(done, pinned=True)
            except errors.NoSuchNode:
                # The row went, not the node: a service says so in a stanza.
                raise await self._forgotten(address, running) from None
            # What its service says of it by now is for the analysers, as after an event that says so.
            retyped = done is not None and done.node_type != node.node_type and not retyped
            if retyped:
                continue
            # A session that began while that was written down has joined this, and so has whoever doubts it since.
            stands = account.epoch == epoch and not running.disturbed and (running.whole or not running.full)
            if done is not None and stands:
                self.overwrites.compared(address, running.last if done.completeness == "window" else "")
                return done
        raise errors.Timeout(f"{address} changed as a whole {ROUNDS_AT_MOST} times while it was fetched.")

    async def _forgotten(self, address: Address, running: Running) -> errors.Cancelled:
        """The error for whoever waits, once what was made at the service is remembered, to be given up."""
        running.forgotten = True
        made = running.made
        if made is not None and made.own_subscription and self.subscriptions.acts.claims(address) == running.claims:
            # Whoever forgot the node could not know of it.
            try:
                await self._store.write(transitions.leave, made)
                self._nodes.unsubscribe(address)
            except errors.PubSubCachedError as error:
                log.error("that the daemon has subscribed to %s could not be written down: %s", address, error)
                with suppress(errors.PubSubCachedError):
                    await self.unsubscribe(address, made.subid, running.claims)
        return errors.Cancelled(
            f"{address} was removed from the cache while it was fetched; read or synchronise it again."
        )


def _never_stored(address: Address) -> errors.NotSupported:
    return errors.NotSupported(f"Nothing of {address} is ever stored; read it with GetItems.")


def _log_failure(task: asyncio.Task[NodeRow]) -> None:
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, errors.PubSubCachedError):
        log.info("%s: %s", task.get_name(), error.message)
    else:
        log.error("%s failed", task.get_name(), exc_info=error)

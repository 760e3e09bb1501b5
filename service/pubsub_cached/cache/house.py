"""The cache put together: every part made once, started in order, stopped in the reverse."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

from ..analysers.agent import Peers
from ..analysers.registry import Registry
from ..clock import clock
from ..config import Config
from ..secrets import Secrets
from ..store.accounts import nodes as node_store
from ..store.store import Store
from ..xmpp.port import Connector, Event
from .accounts.account import Account
from .accounts.accounts import Accounts
from .accounts.elsewhere import Elsewhere
from .changes import Changes
from .events.events import Events
from .jitter import Jitter
from .jobs import Jobs
from .nodes.facts import Facts
from .nodes.nodes import Nodes
from .nodes.privacy import Privacy
from .nodes.proofs import Proofs
from .parsing.agents import Agents
from .parsing.parsing import Parsing
from .parsing.recognition import Recognition
from .reads.node_reads import NodeReads
from .reads.pass_through import PassThrough
from .reads.reads import Reads
from .reanalysis.analysing import Analysing
from .reanalysis.reanalysis import Reanalysis
from .revalidation.distrust import Distrust
from .revalidation.new_sessions import NewSessions
from .revalidation.revalidation import Revalidation
from .revalidation.silence import Silence
from .revalidation.unwritten import Unwritten
from .room import Room
from .search.export import Exports
from .search.search import Searches
from .sync.pushes import Pushes
from .sync.rounds import Rounds
from .sync.subscriptions import Subscriptions
from .sync.sync import Sync
from .sync.unsubscribing import Unsubscribing
from .upkeep.removal import Removal
from .upkeep.upkeep import Upkeep
from .views.views import Views
from .writing.discovery import Discovery
from .writing.hearing import Hearing
from .writing.outbox import Outbox
from .writing.payloads import Checks
from .writing.subscribing import Subscribing
from .writing.writing import Writing

State = Literal["starting", "running", "stopping"]


class House:
    """All parts of the cache, for the interfaces on the bus; a Follower of every account."""

    def __init__(
        self,
        config: Config,
        store: Store,
        registry: Registry,
        connector: Connector,
        secrets: Secrets,
        clock: Callable[[], int] = clock,
        peers: Peers | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """peers: the other programs on the bus; None when there is no bus. chance: draws waits."""
        self.state: State = "starting"
        self.on_state: list[Callable[[], object]] = []
        self.store = store
        self.analysers = registry
        self._clock = clock
        self._limits = config.cache
        self._audit_ms = self._limits.audit_interval * 1000
        self._peers = peers
        self._jitter = Jitter(chance)
        self.changes = Changes()
        self.jobs = Jobs()
        self.accounts = Accounts(store, connector, secrets, config.account)
        self.privacy = Privacy(store, registry)
        self.proofs = Proofs(clock, self._limits.access_proof * 1000)
        self._parsing = Parsing(registry, self._limits.payload_limit, self._limits.items_per_node)
        self.nodes = Nodes(store, registry, self.changes, self.proofs, clock, self.privacy, self._jitter)
        self._make_synchronisation()
        self._make_analysis()
        self._make_reads()
        self._make_writing()
        self._make_upkeep()
        self.nodes.suspected.on_hidden.append(self.views.hide)
        self.removal.on_forgotten += [self.nodes.forget, self.unwritten.forget]
        self.removal.on_told.append(self.privacy.told)
        self.accounts.on_removed.append(self._account_removed)

    def _make_synchronisation(self) -> None:
        """What keeps nodes as their services have them."""
        store, clock, jitter = self.store, self._clock, self._jitter
        subscriptions, facts, pushes = Subscriptions(clock), Facts(store), Pushes(clock)
        self._recognition = Recognition(store, self.nodes, self.changes)
        room = Room(store, self._limits.total_size)
        rounds = Rounds(
            store,
            self.nodes,
            self._recognition,
            self._parsing,
            self.changes,
            subscriptions,
            facts,
            pushes,
            room,
            clock=clock,
            jitter=jitter,
            audit_ms=self._audit_ms,
        )
        self.sync = Sync(store, self.accounts, self.nodes, self.jobs, rounds, subscriptions, facts)
        self.unsubscribing = Unsubscribing(store, self.nodes, self.sync, clock, jitter)
        self.nodes.unsubscribe = self.unsubscribing.begin
        self.removal = Removal(
            store,
            self._parsing,
            self.sync,
            self.unsubscribing,
            self.changes,
            self.jobs,
            room,
        )
        self._make_validation(subscriptions, pushes)

    def _make_validation(self, subscriptions: Subscriptions, pushes: Pushes) -> None:
        """What looks after what events may have missed."""
        store, clock, jitter = self.store, self._clock, self._jitter
        self._silence = Silence(store, subscriptions, jitter, clock)
        self.sessions = NewSessions(
            store,
            self._parsing,
            self.sync,
            self.unsubscribing,
            self.changes,
            self.nodes.negatives,
            pushes,
            self._silence,
            clock,
            jitter,
        )
        self.revalidation = Revalidation(
            store,
            self.accounts,
            self.sync,
            self.unsubscribing,
            self.removal,
            self._silence,
            self.sessions,
            clock,
            jitter,
            audit_ms=self._audit_ms,
        )
        self.nodes.due = self.revalidation.due
        self._make_events()

    def _make_events(self) -> None:
        """What applies events, and what they make doubtful."""
        store = self.store
        self.unwritten = Unwritten()
        self.distrust = Distrust(store, self.nodes, self.sync, self.unwritten)
        self.events = Events(
            store, self.nodes, self._recognition, self._parsing, self.sync, self.changes, self.distrust
        )
        self.sync.follow(self.events.caught_up, self.events.applied)
        self._silence.distrust = self.distrust.of
        self.sessions.roster_came = self.distrust.roster_came
        self.nodes.unwritten = self.distrust.of_answer

    def _make_analysis(self) -> None:
        """What says of nodes what they are, and parses their items again."""
        store, registry = self.store, self.analysers
        self.agents = Agents(store, registry, self.nodes, self._parsing, self.changes, self._peers)
        self.reanalysis = Reanalysis(
            store, registry, self.nodes, self._parsing, self.agents, self.sync, self.changes, self.jobs
        )
        self.nodes.ask, self.nodes.parse_again = self.reanalysis.ask, self.reanalysis.parse_again
        self.analysing = Analysing(
            store, registry, self.accounts, self.nodes, self.agents, self.reanalysis, self.distrust, self._peers
        )

    def _make_reads(self) -> None:
        """What answers reads, and tells who watches."""
        store, clock = self.store, self._clock
        self._pass_through = PassThrough(
            store, self.nodes, self._recognition, self._parsing, self.sync, clock, self.distrust.of
        )
        self.reads = Reads(
            store,
            self.accounts,
            self.nodes,
            self._pass_through,
            self.sync,
            clock,
        )
        self.node_reads = NodeReads(store, self.changes, self.nodes.suspected)
        self.searches = Searches(store, self.accounts, clock, self.reads.pages, self.nodes.suspected)
        self.exports = Exports(store, self.searches, self.jobs)
        self.views = Views(store, self.searches, self._peers)
        self.privacy.on_change.append(lambda: self.views.see(self.privacy.public))

    def _make_writing(self) -> None:
        """What is asked of services for clients, at once or as soon as there is a session."""
        store, clock = self.store, self._clock
        changes, passed_through = self.changes, self._pass_through
        self.payloads = Checks()
        hearing = Hearing(self.nodes, self.events, self.distrust)
        self.nodes.redescribed = hearing.redescribed
        self.writing = Writing(store, self.accounts, self.nodes, self.events, self.distrust, self.sync, hearing)
        self.discovery = Discovery(self.accounts, self.nodes, self._silence, self.distrust, passed_through, hearing)
        self.subscribing = Subscribing(
            store, self.accounts, self.nodes, self.sync, changes, self.distrust, self.events.watch, clock
        )
        self.outbox = Outbox(
            store, self.accounts, self.writing, self._parsing, changes, self.jobs, clock, self.privacy, passed_through
        )
        self.reads.waiting = self.outbox.waiting

    def _make_upkeep(self) -> None:
        """What looks after the database, and at what other daemons write into it."""
        self.elsewhere = Elsewhere(self.store, self.changes, self.privacy.note)
        self.upkeep = Upkeep(self.store, self.accounts, self.nodes, self.sync, self.changes, self.jobs, self._clock)

    @property
    def revision(self) -> int:
        """The last revision that was given."""
        return self.store.revision

    def resume(self, analyser: str) -> None:
        """Call the parser of a suspended or waiting analyser again."""
        self.agents.resume(analyser)
        self._parsing.resume(analyser)

    def set_state(self, state: State) -> None:
        """Say where the daemon is between its start and its end."""
        self.state = state
        for callback in self.on_state:
            callback()

    async def start(self) -> None:
        """Everything that a first cached read needs; nothing here touches the network."""
        found = await self.accounts.find()
        await self._load()
        await self.sessions.daemon_started()
        await self.analysing.load()
        self.accounts.make(found, self, self.analysers.interests())
        self.events.start()
        self.revalidation.start()
        await self.outbox.load()
        self.analysing.start()
        self.accounts.start()

    async def _load(self, account: str = "") -> None:
        """Know what the database says of nodes and services; account: see ``Sync.load``."""
        await self.privacy.load()
        for address in await self.store.read(node_store.unproved, account):
            self.proofs.doubt(address)
        await self.sync.load(account)

    def begin(self) -> None:
        """Calls may come now, and ``connect`` will: those that need a session wait for its first attempt."""
        self.accounts.begin()

    async def connect(self) -> None:
        """Begin the sessions of the enabled accounts."""
        self.accounts.connect()

    def network_changed(self, up: bool) -> None:
        """The network changed or the machine woke up; ``up``: it may work now, so that nobody waits any longer."""
        for account in self.accounts.list():
            account.session.network_changed(up)
        if up:
            # Timers stand still while a machine sleeps.
            self.revalidation.wake()

    async def close(self) -> None:
        """Stop in order: sessions, what follows them, and what is told; the store is closed by its owner."""
        self.outbox.close()
        self.views.close()
        await self.accounts.close()
        await self.analysing.close()
        await self.privacy.close()
        await self.jobs.close()
        await self.revalidation.close()
        await self.subscribing.close()
        await self.unwritten.close()
        await self.sync.close()
        await self.events.close()
        await self.unsubscribing.close()
        await self.removal.close()
        self.reads.pages.close()
        self.changes.close()

    def _account_removed(self, account: Account) -> None:
        """Know nothing of an account that is no more."""
        self.proofs.forget_account(account.jid)
        self.nodes.negatives.clear_account(account.jid)
        self.sync.forget_account(account.jid)
        self.unsubscribing.forget_account(account.jid)
        self.subscribing.forget_account(account.jid)
        self.sessions.forget_account(account)
        self.elsewhere.forget(account)
        self.removal.discarded()

    # A Follower of accounts

    def session_started(self, account: Account, resumed: bool) -> None:
        """See ``account.Follower``."""
        self.proofs.session_started(account.jid)
        self.revalidation.session_started(account, resumed)
        self.outbox.session_started(account.jid)

    def session_ended(self, account: Account) -> None:
        """See ``account.Follower``."""
        self.proofs.session_ended(account.jid)

    def event(self, account: Account, event: Event) -> None:
        """See ``account.Follower``."""
        self.events.put(account, event)
        self.revalidation.event(account, event)

    def solicited(self, account: Account, service: str) -> bool:
        """See ``account.Follower``: the daemon keeps a node of this service."""
        return self.sync.subscriptions.solicited(account.jid, service)

    async def waits(self, account: Account) -> None:
        """See ``account.Follower``."""
        await self.elsewhere.look(account)

    async def taken(self, account: Account) -> None:
        """See ``account.Follower``."""
        await self._load(account.jid)
        await self.sessions.taken(account)
        await self.outbox.taken(account.jid)
        self.store.changed_elsewhere()

    def left(self, account: Account) -> None:
        """See ``account.Follower``."""
        self.outbox.left(account.jid)
        self.elsewhere.left(account)

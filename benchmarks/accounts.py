"""Many accounts, each with an encrypted stream of its own to one server: what a stream holds, and a login of all."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pubsub_cached.bus import Match, Signal, Variant
from pubsub_cached.cache.revalidation.new_sessions import AT_ONCE
from tests.support.daemon import NAME, ROOT, Daemon
from tests.support.publisher import PUBSUB, Publisher

from . import pump
from .measure import Action, Row, in_turn, seconds
from .memory import resident
from .online import Online, keep
from .searches import spellings
from .stage import CACHE, Measurement, Stage, owned, read

# Each node is a small blog, which costs one look.
ITEMS = 3
# So many requests go to a domain at a time, whoever asks, and as many synchronisations are asked for.
PLACES = 2
WORD = "conductor"
STARTS = 5


class Login:
    """When the nodes of all accounts are live again, those that are looked at at once and all others."""

    def __init__(self, daemon: Daemon, accounts: Sequence[str], follows: int) -> None:
        loop = asyncio.get_running_loop()
        self._daemon = daemon
        self._accounts = accounts
        counts = (len(accounts) * min(follows, AT_ONCE), len(accounts) * follows)
        self._expected = {count: loop.create_future() for count in counts}
        self._live = 0

    async def again(self) -> tuple[float, float]:
        """Log all accounts out and in; seconds until so many as are looked at at once were live, and until all were."""
        await self._each("Disconnect", "offline")
        match = Match(sender=NAME, interface=CACHE, member="NodeChanged")
        subscription = await self._daemon.client.subscribe(self._hear, match)
        begin = time.perf_counter()
        try:
            await self._each("Connect", "online")
            reached = [await self._expected[count] for count in sorted(self._expected)]
        finally:
            subscription.cancel()
        return reached[0] - begin, reached[-1] - begin

    async def _each(self, member: str, state: str) -> None:
        for jid in self._accounts:
            path = await self._daemon.call("Manager", "GetAccount", "s", jid)
            await self._daemon.call("Account", member, path=path)
        for jid in self._accounts:
            await self._daemon.state(jid, state)

    def _hear(self, signal: Signal) -> None:
        self._live += signal.body[3] == "live"
        reached = self._expected.get(self._live)
        if reached is not None and not reached.done():
            reached.set_result(time.perf_counter())


class Accounts:
    """All rows come of the same two daemons: one with many accounts, and one with one."""

    def __init__(self) -> None:
        self._made: tuple[Daemon, Daemon] | None = None
        self._held: tuple[float, float] = (0.0, 0.0)

    async def streams(self, stage: Stage) -> Row:
        """A daemon with many accounts that are connected, as ``memory`` has it with one."""
        await self._daemons(stage)
        (many, one), accounts = self._held, stage.scale.accounts
        return Row(
            name="streams",
            what=f"memory, {accounts} accounts connected; {(many - one) / (accounts - 1):.2f} MiB for each further one",
            against="one account",
            ours=many,
            floor=one,
            count=1,
            unit="MiB",
            most=1.5,
        )

    async def login(self, stage: Stage) -> Row:
        """All accounts connect at once; until the nodes that are looked at at once are live again.

        The floor is as many bare slixmpp clients that log in and ask for the same, as few at a time.
        """
        many, _ = await self._daemons(stage)
        scale, online = stage.scale, await stage.online()
        names = users(scale.accounts)
        pumped = await stage.pump(online)
        await pumped.asked()
        first, last = await Login(many, [online.server.jid(name) for name in names], scale.follows).again()
        asked = await pumped.asked()
        at_once = min(scale.follows, AT_ONCE)
        return Row(
            name="login",
            what=f"login of {scale.accounts} accounts, the first {at_once} of {scale.follows} nodes each; in all "
            f"{sum(asked):,} requests in {last:.0f} s, in its quarters {', '.join(map(str, quarters(asked)))}",
            against="bare slixmpp clients that ask for the same",
            ours=first,
            floor=await bare(online, names, at_once),
            count=1,
            most=2,
        )

    async def reads(self, stage: Stage) -> Row:
        """Pages of as many nodes, of all accounts by turns and of one; they come again."""
        names, follows = users(stage.scale.accounts), stage.scale.follows
        many, one = await self._daemons(stage)
        online = await stage.online()

        def reading(daemon: Daemon, accounts: Sequence[str]) -> Action:
            # As many pages as are kept, whoever has them.
            where = itertools.islice(((name, number) for number in range(follows) for name in accounts), follows)
            actions = itertools.cycle(
                [
                    read(daemon.client, pump.DOMAIN, node(number), ITEMS, account=online.server.jid(name))
                    for name, number in where
                ]
            )
            return lambda: next(actions)()

        return await self._compared(stage, "accounts-read", "GetItems", reading(many, names), reading(one, names[:1]))

    async def starts(self, stage: Stage) -> Row:
        """From the start of the process to the answer of the first read, while all accounts connect."""
        many, one = await self._daemons(stage)
        names, online = users(stage.scale.accounts), await stage.online()

        def starting(daemon: Daemon) -> Action:
            first = read(daemon.client, pump.DOMAIN, node(0), ITEMS, account=online.server.jid(names[0]))

            async def action() -> None:
                daemon.launch()
                await owned(daemon.client, NAME)
                await first()

            return action

        rounds = []
        for _ in range(min(STARTS, stage.scale.starts)):
            for daemon in (many, one):
                await daemon.end()
            rounds.append([await seconds(starting(daemon)) for daemon in (many, one)])
        ours, floor = (statistics.median(column) for column in zip(*rounds, strict=True))
        return Row(
            name="accounts-start",
            what=f"first cached answer, {stage.scale.accounts} accounts with {stage.scale.follows} nodes each",
            against="the same of one account",
            ours=ours,
            floor=floor,
            count=len(rounds),
            most=1.3,
        )

    async def searches(self, stage: Stage) -> Row:
        """What one account has of a word, of all accounts by turns and of one; written in another way each time."""
        names = users(stage.scale.accounts)
        many, one = await self._daemons(stage)
        online = await stage.online()

        def searching(daemon: Daemon, accounts: Sequence[str]) -> Action:
            asked = zip(itertools.cycle(spellings(WORD)), itertools.cycle(accounts))
            options = {"limit": Variant("u", 20)}

            async def action() -> None:
                word, name = next(asked)
                body = [word, f'{{"accounts":["{online.server.jid(name)}"]}}', options]
                items, *_ = await daemon.client.call(NAME, ROOT, CACHE, "Search", "ssa{sv}", body)
                if not items:
                    raise RuntimeError(f"Nothing was found of {name}")

            return action

        return await self._compared(
            stage, "accounts-search", "a search within one of them", searching(many, names), searching(one, names[:1])
        )

    async def _compared(self, stage: Stage, name: str, what: str, ours: Action, floor: Action) -> Row:
        scale = stage.scale
        return Row(
            name=name,
            what=f"{what}, {scale.accounts} accounts with {scale.follows} nodes each, by turns",
            against="the same of one account",
            **(await in_turn(ours, floor, scale.searches))._asdict(),
            count=scale.searches,
            most=1.3,
        )

    async def _daemons(self, stage: Stage) -> tuple[Daemon, Daemon]:
        """The two daemons, made once, with all nodes synchronised."""
        if self._made is None:
            online = await stage.online()
            await stage.pump(online)
            names = users(stage.scale.accounts)
            for name in names:
                online.server.add_user(name)
            # Another row may have had no time left for them.
            homes = Path(tempfile.mkdtemp(prefix="accounts-", dir=stage.directory))
            one = await stage.connected(online.server, homes / "one", names[:1])
            many = await stage.connected(online.server, homes / "many", names)
            self._held = await _again(many, online, names), await _again(one, online, names[:1])
            for daemon, some in ((one, names[:1]), (many, names)):
                await _follow(daemon, [online.server.jid(name) for name in some], stage.scale.follows)
            self._made = many, one
        return self._made


def users(count: int) -> list[str]:
    """The users of so many accounts."""
    return [f"user{number}" for number in range(count)]


def node(number: int) -> str:
    """A node of the pump."""
    return f"small{number}-{ITEMS}"


def quarters(asked: Sequence[int]) -> list[int]:
    """How many there were in each quarter of the time."""
    edges = [len(asked) * part // 4 for part in range(5)]
    return [sum(asked[start:end]) for start, end in itertools.pairwise(edges)]


async def bare(online: Online, names: Sequence[str], follows: int) -> float:
    """Clients log in and ask for their subscriptions and nodes, few at a time; the seconds it took."""
    places = asyncio.Semaphore(PLACES)

    async def one(name: str) -> None:
        client = await stack.enter_async_context(_client(online, name))

        async def ask(type_: str, child: str) -> None:
            async with places:
                await client.iq(type_, f"<pubsub xmlns='{PUBSUB}'>{child}</pubsub>", pump.DOMAIN)

        await ask("get", "<subscriptions/>")
        for number in range(follows):
            await ask("set", f"<subscribe node='{node(number)}' jid='{client.jid}'/>")
            await ask("get", f"<items node='{node(number)}' max_items='20'/>")

    async with AsyncExitStack() as stack:
        begin = time.perf_counter()
        await asyncio.gather(*(one(name) for name in names))
        return time.perf_counter() - begin


@asynccontextmanager
async def _client(online: Online, name: str) -> AsyncIterator[Publisher]:
    client = await Publisher.open(online.server, name)
    try:
        yield client
    finally:
        await client.close()


async def _again(daemon: Daemon, online: Online, names: Sequence[str]) -> float:
    """Start a daemon a second time, for the first makes the database; what it holds once all are online, MiB."""
    await daemon.end()
    await daemon.start()
    for name in names:
        await daemon.state(online.server.jid(name), "online")
    return resident(daemon)


async def _follow(daemon: Daemon, accounts: Sequence[str], follows: int) -> None:
    """Have nodes synchronised for all of the accounts, as many at a time as a domain has places for."""
    places = asyncio.Semaphore(PLACES)

    async def one(account: str, number: int) -> None:
        async with places:
            await keep(daemon, pump.DOMAIN, node(number), account=account)

    await asyncio.gather(*(one(account, number) for account in accounts for number in range(follows)))


_accounts = Accounts()
ROWS: dict[str, Measurement] = {
    "streams": _accounts.streams,
    "login": _accounts.login,
    "accounts-read": _accounts.reads,
    "accounts-search": _accounts.searches,
    "accounts-start": _accounts.starts,
}

"""Whatever is called, the daemon answers, with an error that has a name, and keeps nothing of it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from dbus_fast import Message, MessageFlag, MessageType
from hypothesis import HealthCheck, given, settings

from pubsub_cached.daemon import Daemon
from tests.bus.any_call import Call, calls
from tests.bus.api_service import ACCOUNT, ALICE, ALICE_PATH, ERROR, Frontend, daemon, frontend, world
from tests.bus.sample import ROOT, descriptors
from tests.support.footprint import Footprint

DEADLINE = 60.0
# Calls after which everything that is made once has been made.
WARM = 200

# Made with the first record of each kind, which may come late, and never again.
ONCE = frozenset({"_Entry"})
# What a finished job is made of, which stays a while.
OF_A_JOB = frozenset({"Job", "Handler"})


class _Errors(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


class Stage:
    """A daemon over a fake world in a loop of its own, and a client; both outlast the calls of a test."""

    def __init__(self, address: str, directory: Path) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._errors = _Errors()
        self._address = address
        self._directory = directory
        self._answered = 0
        self._refused = 0
        self._warm: Footprint | None = None
        self.daemon: Daemon
        self.client: Frontend

    def __enter__(self) -> Stage:
        logging.getLogger().addHandler(self._errors)
        self._runner.run(self._begin())
        return self

    def __exit__(self, *exc: object) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()
        logging.getLogger().removeHandler(self._errors)

    def does(self, call: Call) -> None:
        """Make a call, and look at what comes of it."""
        self._runner.run(self._call(call))
        assert self._errors.told == [], call
        if self._answered + self._refused == WARM:
            self._warm = Footprint()

    def ends(self) -> None:
        """Nothing is left of the client once it has gone, nor of what it asked for."""
        self._runner.run(self._leave())
        if self._warm is not None:
            # Nothing else is kept of a call.
            jobs = len(self.daemon.house.jobs.list())
            most = max((self._answered + self._refused - WARM) / 20, 20)
            grown = {kind: more - jobs * (kind in OF_A_JOB) for kind, more in Footprint().grown(self._warm).items()}
            assert {kind: more for kind, more in grown.items() if more > most and kind not in ONCE} == {}
        assert self._answered > self._refused / 10, "hardly any call was one that can be answered"

    async def _begin(self) -> None:
        made = world()
        made.account("bob@example.org")
        self.daemon = await self._stack.enter_async_context(daemon(made, self._address, self._directory))
        await self._enter()
        await self.client.synchronised()

    async def _enter(self) -> None:
        self._client = AsyncExitStack()
        self.client = await self._client.enter_async_context(frontend(self._address))

    async def _call(self, call: Call) -> None:
        flags = MessageFlag.NONE if call.expects_reply else MessageFlag.NO_REPLY_EXPECTED
        fds = [os.memfd_create("given") for _ in range(call.fds)]
        for fd in fds:
            os.write(fd, b"given")
            os.lseek(fd, 0, os.SEEK_SET)
        message = self.client.message(
            call.member,
            call.signature,
            *call.body,
            interface=call.interface,
            path=self._path(call),
            fds=fds,
            flags=flags,
        )
        try:
            async with asyncio.timeout(DEADLINE):
                reply = await self.client.bus.call(message) if call.expects_reply else await self._send(message)
        finally:
            for fd in fds:
                os.close(fd)
        if reply is not None and reply.message_type is MessageType.ERROR:
            self._refused += 1
            assert reply.error_name != f"{ERROR}Internal", (call, reply.body)
            assert reply.error_name != "org.freedesktop.DBus.Error.NoReply", call
            assert reply.signature == "s"
            assert reply.body[0].endswith((".", "…", "?")), reply.body
        else:
            self._answered += 1
        for fd in reply.unix_fds if reply is not None else ():
            os.close(fd)
        if self.daemon.house.accounts.get(ALICE).state == "offline":
            await self.client.call("Connect", path=ALICE_PATH, interface=ACCOUNT)

    async def _send(self, message: Message) -> None:
        """A call without a reply; it is over when the next one is answered."""
        await self.client.bus.send(message)
        await self.client.call("Ping", interface="org.freedesktop.DBus.Peer")

    def _path(self, call: Call) -> str:
        paths = [each.path for each in self.daemon._tree._objects if call.of in each.interfaces]
        return paths[call.which % len(paths)] if paths else ROOT

    async def _leave(self) -> None:
        name = self.client.name
        await self._client.aclose()
        house = self.daemon.house
        async with asyncio.timeout(DEADLINE):
            while (
                name in self.daemon._connection.unsandboxed
                or house.views.all()
                or any(not job.finished and job.kind != "outbox" for job in house.jobs.list())
            ):
                await asyncio.sleep(0.01)  # nobody is told of all that
        dispatcher = self.daemon._tree._dispatcher
        assert not dispatcher._in_flight
        assert not dispatcher._strangers
        assert not dispatcher._parked
        assert len(house.jobs.list()) < 500


@pytest.fixture
def stage(bus_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus_address)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    gc.collect()
    before = descriptors()
    with Stage(bus_address, tmp_path) as made:
        yield made
    gc.collect()
    assert descriptors() <= before


def bombard(stage: Stage, count: int) -> None:
    """So many calls, one after the other."""

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(calls())
    def call(call: Call) -> None:
        stage.does(call)

    call()
    stage.ends()


def test_hundreds_of_calls(stage: Stage) -> None:
    bombard(stage, 250)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_thousands_of_calls(stage: Stage) -> None:
    bombard(stage, 10_000)

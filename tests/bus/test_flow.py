"""What is on its way to each client, by what the bus says of it."""

from __future__ import annotations

import asyncio

import pytest

from pubsub_cached.bus.errors import DISCONNECTED, RemoteError
from pubsub_cached.bus.flow import ASK_AFTER, WINDOW, Answer, Flow
from pubsub_cached.errors import STANDARD

NAME, OTHER = ":1.1", ":1.2"
CLIENTS = 3000


class Bus:
    """Answers when it is told to; once it has gone, at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Answer]] = []
        self.gone = False

    def ask(self, name: str, answer: Answer) -> None:
        if self.gone:
            answer(RemoteError(DISCONNECTED, "The bus went away."))
        else:
            self.asked.append((name, answer))

    def says(self, what: int | RemoteError) -> None:
        """So many bytes wait for the client that was asked about first."""
        _, answer = self.asked.pop(0)
        answer(what)


async def test_what_is_sent_while_the_bus_is_asked_is_not_in_its_answer() -> None:
    bus, heard = Bus(), list[str]()
    flow = Flow(bus.ask)
    flow.read = heard.append
    flow.sent(NAME, ASK_AFTER)
    flow.sent(NAME, WINDOW)
    assert [name for name, _ in bus.asked] == [NAME]
    bus.says(0)
    assert flow.outstanding(NAME) == WINDOW
    assert flow.blocked(NAME)
    assert heard == []
    bus.says(0)
    assert not flow.blocked(NAME)
    assert heard == [NAME]


@pytest.mark.parametrize(
    "answer",
    [WINDOW - 1, RemoteError(STANDARD + "NameHasNoOwner", ""), RemoteError(STANDARD + "UnknownInterface", "")],
    ids=["read", "gone", "no such question"],
)
async def test_who_waits_for_a_client_goes_on_once_it_is_not_waited_for(answer: int | RemoteError) -> None:
    bus, heard = Bus(), list[str]()
    flow = Flow(bus.ask)
    flow.read = heard.append
    flow.sent(NAME, WINDOW)
    waiting = [asyncio.create_task(flow.unblocked(NAME)) for _ in range(2)]
    await asyncio.sleep(0)
    assert heard == []
    bus.says(answer)
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    assert heard == [NAME]


async def test_the_bus_is_asked_again_while_a_client_does_not_read() -> None:
    bus = Bus()
    flow = Flow(bus.ask)
    flow.sent(NAME, WINDOW)
    waiting = asyncio.create_task(flow.unblocked(NAME))
    for _ in range(3):
        bus.says(WINDOW)
        assert not bus.asked
        async with asyncio.timeout(10):
            while not bus.asked:
                await asyncio.sleep(0.001)  # nobody is told of that
    bus.says(0)
    await waiting


async def test_who_waits_for_a_client_goes_on_once_the_bus_has_gone() -> None:
    bus = Bus()
    flow = Flow(bus.ask)
    flow.sent(NAME, WINDOW)
    bus.says(WINDOW)
    bus.gone = True
    async with asyncio.timeout(10):
        await flow.unblocked(NAME)


async def test_what_is_known_of_clients_is_bounded() -> None:
    """Those that are not identified are not forgotten by name when they leave."""
    bus = Bus()
    flow = Flow(bus.ask)
    flow.sent(OTHER, WINDOW)
    for number in range(CLIENTS):
        flow.sent(f":2.{number}", 100)
    assert len(flow._clients) < CLIENTS / 2
    assert flow.blocked(OTHER)

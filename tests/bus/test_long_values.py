"""Values of any length: each error still names the beginning of the value and says what is wrong, and is short."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import MessageType, Variant

from pubsub_cached.daemon import Daemon
from pubsub_cached.errors import CHARACTERS_AT_MOST
from tests.bus.any_call import FD, LIKELY, MEMBERS, PROPERTIES, Member
from tests.bus.api_service import ACCOUNT, INVALID, SERVICE, Frontend, daemon, frontend, world
from tests.bus.sample import ROOT

BEGINNING = "it begins so "
LONG = BEGINNING + "x" * 1_000_000
TEXTS: dict[str, Any] = {"s": LONG, "as": [LONG]}
VALUES: dict[str, Any] = {
    "b": False,
    "q": 5222,
    "u": 1,
    "i": 1,
    "t": 1,
    "x": 1,
    "o": "/",
    "s": "x",
    "as": ["x"],
    "a{sv}": {},
}


@pytest.fixture
async def service(bus_address: str, tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(world(), bus_address, tmp_path) as made:
        yield made


@pytest.fixture
async def client(service: Daemon, bus_address: str) -> AsyncIterator[Frontend]:
    async with frontend(bus_address) as made:
        await made.synchronised()
        await made.cache("CreateView", "ssa{sv}", "", "", {})
        yield made


async def test_every_error_is_short_and_names_the_beginning(service: Daemon, client: Frontend) -> None:
    paths = {name: each.path for each in service._tree._objects for name in each.interfaces}
    told: dict[str, str] = {}
    for member in MEMBERS:
        for what, interface, name, signature, body in _long_calls(member):
            path = paths.get(member.interface, ROOT)
            reply = await client.raw(name, signature, *body, interface=interface, path=path)
            if reply.message_type is MessageType.ERROR:
                told[what] = reply.body[0]
    assert {what: len(text) for what, text in told.items() if len(text) > CHARACTERS_AT_MOST} == {}
    assert [what for what, text in told.items() if "xxx" in text and BEGINNING not in text] == []
    assert [what for what, text in told.items() if not text.endswith((".", "?"))] == []
    assert len(told) > 150


def _long_calls(member: Member) -> Iterator[tuple[str, str, str, str, list[Any]]]:
    """Each text that a member takes by itself endless: what it is, the interface, the method, its arguments."""
    if member.type:
        yield f"{member.name} of no interface", PROPERTIES, "Get", "ss", [LONG, member.name]
        yield f"{member.name}…", PROPERTIES, "Get", "ss", [member.interface, LONG]
        if member.type == "s":
            body = [member.interface, member.name, Variant("s", LONG)]
            yield f"{member.name} set", PROPERTIES, "Set", "ssv", body
        return
    kinds = [kind for _, kind, _ in member.arguments]
    if FD in kinds:
        return
    usual = [LIKELY[name][0] if name in LIKELY else VALUES[kind] for name, kind, _ in member.arguments]
    for number, (name, kind, keys) in enumerate(member.arguments):
        longs = [TEXTS[kind]] if kind in TEXTS else []
        if kind == "a{sv}":
            longs = [{key: Variant(of, TEXTS[of])} for key, of in keys.items() if of in TEXTS]
            longs.append({LONG: Variant("b", True)})
        for value in longs:
            body = [*usual[:number], value, *usual[number + 1 :]]
            key = next(iter(value))[:20] if kind == "a{sv}" else ""
            yield f"{member.name} {name} {key}", member.interface, member.name, "".join(kinds), body


@pytest.mark.parametrize(
    ("account", "service_jid", "node", "told"),
    [
        ("", SERVICE, LONG, f"x' has {len(LONG)} characters, and 16384 is the most."),
        ("", LONG, "blog", f"x' is no JID: it has {len(LONG)} characters, and 3071 is the most."),
        (LONG, SERVICE, "blog", f"x' is no JID: it has {len(LONG)} characters, and 3071 is the most."),
        ("", SERVICE, LONG[:16_384], f"x' at {SERVICE}; read it with GetItems first."),
    ],
    ids=["node", "service", "account", "node that could be one"],
)
async def test_address_of_a_node(client: Frontend, account: str, service_jid: str, node: str, told: str) -> None:
    _, text = await client.refused("GetNode", "sssa{sv}", account, service_jid, node, {})
    assert BEGINNING in text
    assert text.endswith(told)


async def test_path_of_no_object(client: Frontend) -> None:
    _, text = await client.error("Cancel", interface="im.pubsubcache1.Job", path="/begins/" + "x" * 1_000_000)
    assert text.startswith("There is no object /begins/xxx")
    assert len(text) <= CHARACTERS_AT_MOST


async def test_job_tells_of_ids_without_end_in_a_sentence(service: Daemon, client: Frontend) -> None:
    await client.call("Disconnect", path="/im/pubsubcache1/account/alice_40example_2eorg", interface=ACCOUNT)
    options = {"queue": Variant("b", True), "token": Variant("s", "endless")}
    await client.call("Retract", "sssasa{sv}", "", SERVICE, "blog", [LONG], options, interface="im.pubsubcache1.PubSub")
    (job,) = [job for job in service.house.jobs.list() if job.kind == "outbox"]
    assert job.message.startswith(f"The retraction of '{BEGINNING}")
    assert len(job.message) < 2 * CHARACTERS_AT_MOST


async def test_value_that_is_not_long_is_shown_whole(client: Frontend) -> None:
    name = "x" * 700
    error, text = await client.refused("GetNode", "sssa{sv}", "", SERVICE, "blog", {name: Variant("b", True)})
    assert error == INVALID
    assert text == f"GetNode does not know the option '{name}'; it knows none."

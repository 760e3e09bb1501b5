"""Search, Json and Export on a real bus."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import MessageType, Variant

from pubsub_cached.xmpp.fake import World
from tests.bus import api_service as bus
from tests.bus.api_service import ACCOUNT, ALICE, ALICE_PATH, ERROR, INVALID, JOB, MANAGER, SERVICE
from tests.bus.sample import descriptors
from tests.support.bus import PrivateBus

JSON = "im.pubsubcache1.Json"
NODE = ("", SERVICE, "blog")
ITEMS = 12


@pytest.fixture
def world() -> World:
    return bus.world(ITEMS)


@pytest.fixture
async def client(frontend: bus.Frontend) -> bus.Frontend:
    await frontend.synchronised()
    # The connection that searches use stays open from the first one on.
    await frontend.cache("Search", "ssa{sv}", "", "", {})
    return frontend


async def lines(client: bus.Frontend, member: str, signature: str, *body: Any) -> tuple[list[Any], str, Any]:
    """The objects of a sealed descriptor, cursor and info."""
    reply = await client.raw(member, signature, *body, interface=JSON)
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    index, cursor, info = reply.body
    descriptor = reply.unix_fds[index]
    every = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) == every
    with pytest.raises(PermissionError):
        os.write(descriptor, b"x")
    with os.fdopen(descriptor, "rb") as file:
        return [json.loads(line) for line in file], cursor, json.loads(info)


def as_json(item: dict[str, Variant]) -> dict[str, Any]:
    """What Json gives for a record of Cache."""
    found = bus.plain(item)
    if "data" in found:
        found["data"] = json.loads(found["data"])
    return found


# Search


async def test_words_and_a_query_find_items(client: bus.Frontend) -> None:
    items, cursor, info = await client.cache("Search", "ssa{sv}", "number", '{"types":["blog"]}', {})
    assert len(items) == ITEMS
    assert cursor == ""
    item = bus.plain(items[0])
    assert (item["account"], item["service"], item["node"]) == (ALICE, SERVICE, "blog")
    assert "Number" in item["snippet"]
    found = bus.plain(info)
    assert (found["source"], found["freshness"], found["completeness"], found["total"]) == ("cache", "live", "full", 12)
    assert found["revision"] == await client.get("Revision", bus.CACHE)
    assert "fts" in await client.get("Features", MANAGER)


async def test_pages_of_a_search(client: bus.Frontend) -> None:
    got: list[str] = []
    cursor = ""
    while True:
        options = {"limit": Variant("u", 5), "fields": Variant("as", ["id"]), "order": Variant("s", "data.atom_id, id")}
        if cursor:
            options["cursor"] = Variant("s", cursor)
        items, cursor, info = await client.cache("Search", "ssa{sv}", "", "", options)
        got += [item["id"].value for item in items]
        assert all([*item] == ["id"] for item in items)
        assert "total" not in info
        if not cursor:
            break
    assert sorted(got) == sorted(f"post-{number}" for number in range(ITEMS))
    stolen = {"cursor": Variant("s", cursor or "x")}
    assert (await client.refused("Search", "ssa{sv}", "gtk", "", stolen))[0] == ERROR + "InvalidCursor"


async def test_what_can_not_be_used_is_named(client: bus.Frontend) -> None:
    for query, said in {
        "{": "no JSON",
        '{"where":[["a","is",1]]}': "where[0] has the operator",
        '{"services":["a@b@c"]}': "services[0]: 'a@b@c' is no JID",
    }.items():
        name, text = await client.refused("Search", "ssa{sv}", "", query, {})
        assert (name, said in text) == (ERROR + "InvalidQuery", True), text
    order = {"order": Variant("s", "published")}
    name, text = await client.refused("Search", "ssa{sv}", "", "", order)
    assert (name, "'order' has 'published'" in text) == (INVALID, True)
    name, text = await client.refused("Search", "ssa{sv}", "", "", {"policy": Variant("s", "cache")})
    assert (name, text.startswith("Search does not know the option 'policy'")) == (INVALID, True)


# Json


async def test_json_says_what_cache_says(client: bus.Frontend) -> None:
    for member, signature, body in [
        ("GetItems", "sssa{sv}", (*NODE, {"limit": Variant("u", 3)})),
        ("GetItems", "sssa{sv}", (*NODE, {"fields": Variant("as", ["type", "data"])})),
        ("Search", "ssa{sv}", ("number", "", {"limit": Variant("u", 3)})),
    ]:
        items, cursor, info = await client.cache(member, signature, *body)
        texts, same, told = await client.call(member, signature, *body, interface=JSON)
        assert [json.loads(text) for text in texts] == [as_json(item) for item in items]
        assert (same, json.loads(told)) == (cursor, bus.plain(info))
    nodes, cursor = await client.cache("ListNodes", "a{sv}", {})
    texts, same = await client.call("ListNodes", "a{sv}", {}, interface=JSON)
    assert ([json.loads(text) for text in texts], same) == ([bus.plain(node) for node in nodes], cursor)
    (text,) = await client.call("GetNode", "sss", *NODE, interface=JSON)
    assert json.loads(text) == await client.node()
    ((account,),) = await client.call("ListAccounts", interface=JSON)
    assert json.loads(account) == {"jid": ALICE, "state": "online", "origin": "config", "path": ALICE_PATH}
    assert json.loads(account)["state"] == await client.get("State", ACCOUNT, ALICE_PATH)


async def test_bulk_comes_in_a_sealed_descriptor(client: bus.Frontend) -> None:
    before = descriptors()
    items, _, info = await client.items()
    got, cursor, told = await lines(client, "ReadItems", "sssa{sv}", *NODE, {})
    assert [item["id"] for item in got] == [item["id"] for item in items]
    assert got[0]["data"]["title"][0]["text"] == f"Number {ITEMS - 1}"
    assert (cursor, told) == ("", info)
    got, cursor, told = await lines(client, "ReadSearch", "ssa{sv}", "number", "", {"limit": Variant("u", 5)})
    assert len(got) == 5
    rest, cursor, _ = await lines(client, "ReadSearch", "ssa{sv}", "number", "", {"cursor": Variant("s", cursor)})
    assert (len(rest), cursor) == (ITEMS - 5, "")
    assert {item["node"] for item in rest} == {"blog"}
    nothing, _, told = await lines(client, "ReadSearch", "ssa{sv}", "nothing", "", {})
    assert (nothing, told["total"]) == ([], 0)
    assert descriptors() == before


async def test_bulk_goes_beyond_a_reply(client: bus.Frontend, world: World) -> None:
    service = world.services[SERVICE]
    service.create_node("big", node_type="urn:xmpp:microblog:0", max_items=10_000)
    body = "word " * 400
    for number in range(700):
        entry = bus.entry(number).replace("</entry>", f"<summary>{body}</summary></entry>")
        service.publish("big", f"big-{number}", entry)
    (job,) = await client.cache("Sync", "sssa{sv}", "", SERVICE, "big", {})
    await client.finished(job)
    limit = {"limit": Variant("u", 10_000)}
    node = ("", SERVICE, "big")
    got, cursor, info = await lines(client, "ReadItems", "sssa{sv}", *node, limit | {"policy": Variant("s", "cache")})
    assert (len(got), cursor, info["source"]) == (500, "", "cache")
    found, cursor, _ = await lines(client, "ReadSearch", "ssa{sv}", "word", "", limit)
    assert (len(found), cursor) == (500, "")
    assert len((await client.items("big", limit=Variant("u", 500)))[0]) < 500
    fresh, cursor, info = await lines(
        client, "ReadItems", "sssa{sv}", *node, limit | {"policy": Variant("s", "network")}
    )
    assert 0 < len(fresh) <= 500
    assert (info["source"], cursor != "") == ("network", True)


async def test_errors_of_bulk_are_those_of_the_reads(client: bus.Frontend) -> None:
    before = descriptors()
    for member, signature, body, error in [
        ("ReadItems", "sssa{sv}", ("", SERVICE, "nowhere", {}), ERROR + "NoSuchNode"),
        ("ReadItems", "sssa{sv}", (*NODE, {"limit": Variant("u", 0)}), INVALID),
        ("ReadSearch", "ssa{sv}", ("", "[]", {}), ERROR + "InvalidQuery"),
        ("GetNode", "sss", ("", SERVICE, "nowhere"), ERROR + "NoSuchNode"),
    ]:
        assert (await client.error(member, signature, *body, interface=JSON))[0] == error
    assert descriptors() == before


# Export


async def export(client: bus.Frontend, descriptor: int, text: str = "", query: str = "", **options: Variant) -> str:
    """The job of an export."""
    reply = await client.raw("Export", "ssa{sv}h", text, query, options, 0, interface=bus.CACHE, fds=[descriptor])
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    job: str = reply.body[0]
    return job


async def test_an_export_is_everything_a_search_finds(client: bus.Frontend, tmp_path: Path) -> None:
    before = descriptors()
    path = tmp_path / "backup.jsonl"
    with path.open("wb") as file:
        job = await export(client, file.fileno(), order=Variant("s", "id"), token=Variant("s", "mine"))
        assert job.endswith("/mine")
        assert await client.finished(job) == f"{ITEMS} items were written."
    got = [json.loads(line) for line in path.read_text().splitlines()]
    assert [item["id"] for item in got] == sorted(f"post-{number}" for number in range(ITEMS))
    items, *_ = await client.cache("Search", "ssa{sv}", "", "", {"order": Variant("s", "id")})
    assert got == [as_json(item) for item in items]
    assert await client.get("Kind", JOB, job) == "export"
    assert (await client.get("Done", JOB, job), await client.get("Total", JOB, job)) == (ITEMS, ITEMS)
    await gone(before)


async def test_an_export_waits_for_its_reader_and_ends_with_it(client: bus.Frontend, world: World) -> None:
    before = descriptors()
    for number in range(100):
        world.services[SERVICE].publish("blog", f"big-{number}", bus.entry(number).replace("Number", "word " * 1000))
    await client.synchronised()
    reader, writer = os.pipe()
    job = await export(client, writer)
    os.close(writer)
    # It fills the pipe, and the daemon goes on with everything else.
    assert len(await client.ids()) == 50
    assert await client.get("State", JOB, job) == "running"
    # How much there is to read is told before any of it was.
    await client.property_is(job, JOB, "Total", ITEMS + 100)
    assert await client.get("Done", JOB, job) == 0
    some = await asyncio.to_thread(os.read, reader, 100)
    assert some.startswith(b'{"id":')
    os.close(reader)
    name, text = await client.error("Wait", path=job, interface=JOB)
    assert (name, text) == (ERROR + "Cancelled", "Nobody reads the output any more.")
    assert await client.get("State", JOB, job) == "cancelled"
    await gone(before)


async def test_an_export_is_cancelled(client: bus.Frontend, world: World) -> None:
    before = descriptors()
    for number in range(100):
        world.services[SERVICE].publish("blog", f"big-{number}", bus.entry(number).replace("Number", "word " * 1000))
    await client.synchronised()
    reader, writer = os.pipe()
    job = await export(client, writer)
    os.close(writer)
    await client.call("Cancel", path=job, interface=JOB)
    assert (await client.error("Wait", path=job, interface=JOB))[0] == ERROR + "Cancelled"
    # The reader meets the end.
    with os.fdopen(reader, "rb") as file:
        await asyncio.to_thread(file.read)
    await gone(before)


async def test_a_descriptor_that_can_not_be_written(client: bus.Frontend, tmp_path: Path) -> None:
    before = descriptors()
    (tmp_path / "there").write_text("")
    with (tmp_path / "there").open("rb") as file:
        reply = await client.raw("Export", "ssa{sv}h", "", "", {}, 0, interface=bus.CACHE, fds=[file.fileno()])
    assert reply.error_name == INVALID
    assert "for reading only" in reply.body[0]
    with open("/dev/full", "wb", buffering=0) as full:
        job = await export(client, full.fileno())
    assert (await client.error("Wait", path=job, interface=JOB))[0] == ERROR + "StorageFull"
    reader, writer = os.pipe()
    reply = await client.raw("Export", "ssa{sv}h", "", "{", {}, 0, interface=bus.CACHE, fds=[writer])
    assert reply.error_name == ERROR + "InvalidQuery"
    os.close(writer)
    os.close(reader)
    await gone(before)


async def test_gdbus_exports_to_a_file(client: bus.Frontend, private_bus: PrivateBus, tmp_path: Path) -> None:
    finished = asyncio.create_task(client.until("InterfacesAdded"))
    line = (
        "gdbus call --session -d im.pubsubcache1 -o /im/pubsubcache1 -m im.pubsubcache1.Cache.Export "
        "'' '' '{}' 3 3>backup.jsonl"
    )
    process = await asyncio.create_subprocess_shell(
        line, stdout=asyncio.subprocess.PIPE, env=private_bus.environment, cwd=tmp_path
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    await finished
    job = output.decode().split("'")[1]
    await client.finished(job)
    assert len((tmp_path / "backup.jsonl").read_text().splitlines()) == ITEMS


async def test_busctl_searches(client: bus.Frontend, private_bus: PrivateBus) -> None:
    process = await asyncio.create_subprocess_shell(
        "busctl --user --json=short call im.pubsubcache1 /im/pubsubcache1 im.pubsubcache1.Cache Search 'ssa{sv}' "
        'number \'{"types":["blog"]}\' 0',
        stdout=asyncio.subprocess.PIPE,
        env=private_bus.environment,
    )
    output, _ = await process.communicate()
    items, cursor, _ = json.loads(output)["data"]
    assert (len(items), cursor) == (ITEMS, "")


async def gone(before: object) -> None:
    """Return once no descriptor is open that was not before; threads close theirs a moment later."""
    async with asyncio.timeout(10):
        while descriptors() != before:
            await asyncio.sleep(0.01)

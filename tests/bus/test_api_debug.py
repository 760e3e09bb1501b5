"""``im.pubsubcache1.Debug`` over the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dbus_fast import Variant

from tests.bus.api_service import ERROR, INVALID, Frontend, daemon, frontend, plain, world

DEBUG = "im.pubsubcache1.Debug"


@pytest.fixture
async def client(bus_address: str, tmp_path: Path) -> AsyncIterator[Frontend]:
    """A client of a daemon with three posts in its cache."""
    async with daemon(world(), bus_address, tmp_path), frontend(bus_address) as connected:
        await connected.synchronised()
        yield connected


async def test_statistics_count_what_is_there(client: Frontend) -> None:
    (found,) = await client.call("GetStatistics", interface=DEBUG)

    assert found["items"].signature == "t"
    statistics = plain(found)
    assert (statistics["accounts"], statistics["nodes"], statistics["items"]) == (1, 1, 3)
    assert (statistics["recovered-from"], statistics["presence-priority"], statistics["jobs"]) == ("", 0, 0)
    assert statistics["started"] <= statistics["newest"]


@pytest.mark.parametrize(("member", "said"), [("Check", "Nothing is wrong."), ("Compact", " bytes were given back.")])
async def test_maintenance_is_a_job_of_the_caller(client: Frontend, member: str, said: str) -> None:
    (job,) = await client.call(member, interface=DEBUG)

    assert job.startswith(f"/im/pubsubcache1/job/{client.name.lstrip(':').replace('.', '_')}/")
    assert await client.get("Kind", "im.pubsubcache1.Job", job) == member.lower()
    assert (await client.finished(job)).endswith(said)


async def test_explain_shows_statements_and_their_plans(client: Frontend) -> None:
    options = {"limit": Variant("u", 5), "order": Variant("s", "created desc")}

    (plan,) = await client.call("Explain", "ssa{sv}", "number", '{"types":["blog"]}', options, interface=DEBUG)

    paragraphs = plan.split("\n\n")
    assert all(paragraph.startswith(("SELECT ", "WITH ")) and "\n    " in paragraph for paragraph in paragraphs)
    assert "item_text" in plan
    assert "number" not in plan


@pytest.mark.parametrize(
    ("arguments", "name", "said"),
    [
        (("", "{", {}), f"{ERROR}InvalidQuery", "query"),
        (("", "", {"cursor": Variant("s", "x")}), INVALID, "'cursor'"),
        (("", "", {"order": Variant("s", "colour")}), INVALID, "colour"),
    ],
)
async def test_explain_refuses_what_search_does(
    client: Frontend, arguments: tuple[object, ...], name: str, said: str
) -> None:
    error, message = await client.error("Explain", "ssa{sv}", *arguments, interface=DEBUG)

    assert error == name
    assert said in message

"""``get``, ``nodes``, ``watch``, ``analysers``, ``match`` and ``status``: for people, and as JSON."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from pubsub_cached.daemon import Daemon
from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE, SERVICE, entry
from tests.support.command import Command

pytestmark = pytest.mark.usefixtures("running")


async def kept(ctl: Command) -> None:
    """The blog, in the cache and live."""
    await ctl.ok("sync", SERVICE, "blog")


# get


async def test_items_are_printed_newest_first_in_plain_columns(ctl: Command) -> None:
    done = await ctl.ok("get", SERVICE, "blog")

    header, *lines = done.out.splitlines()
    assert header.split() == ["Date", "Type", "Item", "Id"]
    assert [line.split()[-1] for line in lines] == ["post-2", "post-1", "post-0"]
    assert "Number 2" in lines[0]
    assert done.err == "3 items, from the service.\n"


async def test_a_read_of_a_kept_node_comes_from_the_cache(ctl: Command) -> None:
    await kept(ctl)

    assert (await ctl.ok("get", SERVICE, "blog")).err == "3 items, from the cache, live.\n"


async def test_json_is_a_record_a_line_with_data_as_an_object(ctl: Command) -> None:
    await kept(ctl)

    done = await ctl.ok("get", SERVICE, "blog", "--json")

    assert [record["id"] for record in done.records] == ["post-2", "post-1", "post-0"]
    assert done.records[0]["data"]["title"][0]["text"] == "Number 2"
    assert isinstance(done.records[0]["modified"], int)
    assert done.err == ""


async def test_more_than_the_limit_is_said(ctl: Command) -> None:
    await kept(ctl)

    done = await ctl.ok("get", SERVICE, "blog", "--limit", "2", "--json")

    assert len(done.records) == 2
    assert done.err == "2 of 3 items (--limit or --all for more), from the cache, live.\n"


async def test_all_goes_beyond_a_page(ctl: Command, made: World) -> None:
    for number in range(3, 620):
        made.services[SERVICE].publish("blog", f"post-{number}", entry(number))

    done = await ctl.ok("get", SERVICE, "blog", "--all", "--policy", "network", "--json")

    assert len({record["id"] for record in done.records}) == len(made.services[SERVICE].items("blog"))


async def test_items_by_id_are_shown_in_full_and_missing_ones_named(ctl: Command) -> None:
    done = await ctl("get", SERVICE, "blog", "post-1", "nothing")

    assert done.status == 1
    assert "Item:       Number 1" in done.out
    assert "tag:example.org,2026:1" in done.out
    assert "There is no item 'nothing'." in done.err


async def test_items_by_id_that_a_reply_has_no_room_for_are_shown_as_well(ctl: Command, made: World) -> None:
    wanted = [f"long-{number}" for number in range(6)]
    for id_ in wanted:
        made.services[SERVICE].publish("blog", id_, f"<long xmlns='urn:example'>{'x' * 250_000}</long>")
    await kept(ctl)

    done = await ctl.ok("get", SERVICE, "blog", *wanted, "--json")

    assert sorted(record["id"] for record in done.records) == wanted
    assert done.err == ""


async def test_ids_that_begin_with_a_hyphen_follow_two(ctl: Command, made: World) -> None:
    made.services[SERVICE].publish("blog", "-odd", entry(9))

    done = await ctl.ok("get", "--json", "--", SERVICE, "blog", "-odd")

    assert [record["id"] for record in done.records] == ["-odd"]


async def test_payload_alone_is_the_xml(ctl: Command) -> None:
    done = await ctl.ok("get", SERVICE, "blog", "post-0", "--payload")

    assert done.out.startswith("<entry")
    assert done.out.count("</entry>") == 1


async def test_a_dot_is_the_own_service(ctl: Command, made: World) -> None:
    made.services[ALICE].create_node("notes")
    made.services[ALICE].publish("notes", "one", "<note xmlns='urn:example'>Milk</note>")

    done = await ctl.ok("get", ".", "notes")

    assert "Milk" in done.out


async def test_offline_is_marked_for_people_and_programs(ctl: Command) -> None:
    await kept(ctl)
    await ctl.ok("account", "disconnect", ALICE)

    for arguments in ((), ("--json",)):
        done = await ctl.ok("get", SERVICE, "blog", *arguments)
        assert done.err == "3 items, OFFLINE: from the cache, last validated just now.\n"


async def test_control_characters_of_a_service_never_reach_the_terminal(ctl: Command, made: World) -> None:
    payload = "<entry xmlns='http://www.w3.org/2005/Atom'><title>a\u009b31mb\u202ec</title></entry>"
    made.services[SERVICE].publish("blog", "evil", payload)

    done = await ctl.ok("get", SERVICE, "blog", "--limit", "1")
    as_json = await ctl.ok("get", SERVICE, "blog", "--limit", "1", "--json")

    assert "a\N{REPLACEMENT CHARACTER}31mb\N{REPLACEMENT CHARACTER}c" in done.out
    assert "\u009b" not in as_json.out
    assert "\u009b" in as_json.records[0]["payload"]


async def test_ids_and_an_order_exclude_each_other(ctl: Command) -> None:
    done = await ctl("get", SERVICE, "blog", "post-1", "--order", "id")

    assert done.status == 2
    assert "IDs are read as they are given" in done.err


async def test_on_a_terminal_there_is_a_table(ctl: Command) -> None:
    done = await ctl.on_terminal("get", SERVICE, "blog")

    assert done.status == 0
    assert "────" in done.out
    assert "Number 2" in done.out
    assert "3 items, from the service." in done.out


async def test_on_a_narrow_terminal_titles_are_cut_and_ids_are_not(ctl: Command, made: World) -> None:
    title = "A title that is far too long for a terminal of sixty columns"
    payload = f"<entry xmlns='http://www.w3.org/2005/Atom'><title>{title}</title></entry>"
    long_id = "an-id-of-more-than-thirty-characters"
    made.services[SERVICE].publish("blog", long_id, payload)
    await kept(ctl)

    done = await ctl.on_terminal("get", SERVICE, "blog", columns=60)

    assert long_id in done.out
    assert title not in done.out
    assert "…" in done.out


# nodes


async def test_nodes_are_listed_with_state_and_counts(ctl: Command) -> None:
    await kept(ctl)

    header, line = (await ctl.ok("nodes")).out.splitlines()

    assert header.split() == ["State", "Type", "Items", "Unread", "Synchronised", "Service", "Node"]
    assert line.split() == ["live", "blog/feed", "3", "3", "just", "now", SERVICE, "blog"]


async def test_nodes_are_chosen_by_options_and_printed_as_json(ctl: Command) -> None:
    await kept(ctl)

    (node,) = (await ctl.ok("nodes", "--type", "blog", "--subscribed", "--state", "live", "--json")).records

    assert (node["account"], node["service"], node["node"]) == (ALICE, SERVICE, "blog")
    none = await ctl.ok("nodes", "--not-subscribed", "--json")
    assert (none.out, none.err) == ("", "The cache knows no such node.\n")


async def test_where_a_service_is_an_option_a_dot_is_the_account_s_own_as_well(ctl: Command) -> None:
    await kept(ctl)
    await ctl.ok("publish", ".", "urn:xmpp:microblog:0", "--id", "own", stdin=entry(1))
    await ctl.ok("sync", ".", "urn:xmpp:microblog:0")

    for choice in (("nodes", "--service", "."), ("search", "--service", ".")):
        (found,) = (await ctl.ok(*choice, "--json")).records
        assert (found["service"], found["node"]) == (ALICE, "urn:xmpp:microblog:0")
    assert (await ctl.ok("purge", "--service", ".")).out.startswith("1 item of 1 node was dropped.")


async def test_of_several_accounts_the_one_whose_service_is_meant_has_to_be_named(ctl: Command) -> None:
    await ctl.ok("account", "add", "bob@example.org", "--no-password")

    done = await ctl("nodes", "--service", ".")

    assert (done.status, done.out) == (2, "")
    assert "2 accounts are enabled; say with --account which is meant." in done.err
    assert (await ctl.ok("nodes", "--service", ".", "--account", ALICE)).err == "The cache knows no such node.\n"


async def test_a_cache_that_knows_nothing_says_so(ctl: Command, running: Daemon) -> None:
    nothing = await ctl.ok("nodes")
    said = "The cache knows no node yet: 'pubsub-cachectl get SERVICE NODE' reads one.\n"
    assert (nothing.out, nothing.err) == ("", said)


# watch


async def test_changes_are_shown_with_titles_as_they_come(ctl: Command, made: World) -> None:
    await kept(ctl)
    process = await ctl.start("watch", SERVICE, "blog", "--count", "2")
    lines = asyncio.create_task(process.communicate())
    await ctl.listening(process, 2)

    made.services[SERVICE].publish("blog", "news", entry(77))
    await _item(ctl, "news")
    made.services[SERVICE].retract("blog", "post-0")

    async with asyncio.timeout(20):
        out, _ = await lines
    first, second = out.decode().splitlines()
    assert first.endswith(f"{SERVICE} blog: + news  Number 77")
    assert second.endswith(f"{SERVICE} blog: - post-0")
    assert process.returncode == 0


async def test_changes_as_json_have_the_arguments_of_the_signal(ctl: Command, made: World) -> None:
    await kept(ctl)
    process = await ctl.start("watch", "--json", "--count", "1")
    lines = asyncio.create_task(process.communicate())
    await ctl.listening(process, 2)

    made.services[SERVICE].publish("blog", "news", entry(77))

    async with asyncio.timeout(20):
        out, _ = await lines
    change = json.loads(out)
    assert change.pop("revision") > 0
    assert change == {
        "signal": "ItemsChanged",
        "account": ALICE,
        "service": SERVICE,
        "node": "blog",
        "changed": ["news"],
        "removed": [],
    }


async def test_watching_ends_in_time_with_its_own_status(ctl: Command) -> None:
    done = await ctl("watch", "--timeout", "0.3")

    assert done.status == 4
    assert done.err == "Error: The 0.3 seconds are over.\n"


async def test_an_interrupt_ends_watching_without_a_word(ctl: Command) -> None:
    process = await ctl.start("watch")
    await ctl.listening(process, 2)

    process.send_signal(signal.SIGINT)

    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


async def _item(ctl: Command, id_: str) -> None:
    """Return once the cache has an item."""
    async with asyncio.timeout(20):
        while id_ not in (await ctl.ok("get", SERVICE, "blog", "--json")).out:
            pass


async def test_changes_of_the_own_service_are_chosen_by_a_dot(ctl: Command, made: World) -> None:
    made.services[ALICE].create_node("notes")
    await kept(ctl)
    process = await ctl.start("watch", ".", "--json", "--count", "1")
    lines = asyncio.create_task(process.communicate())
    await ctl.listening(process, 2)

    made.services[SERVICE].publish("blog", "news", entry(77))
    await _item(ctl, "news")
    await ctl.ok("sync", ".", "notes")

    async with asyncio.timeout(20):
        out, _ = await lines
    change = json.loads(out)
    assert (change["signal"], change["service"], change["node"]) == ("NodeChanged", ALICE, "notes")


async def test_the_end_and_the_start_of_sessions_are_shown(ctl: Command) -> None:
    process = await ctl.start("watch", "--count", "1")
    lines = asyncio.create_task(process.communicate())
    await ctl.listening(process, 3)

    await ctl.ok("account", "disconnect", ALICE)

    async with asyncio.timeout(20):
        out, _ = await lines
    assert out.decode().endswith(f"{ALICE} is offline\n")


# analysers and match


async def test_analysers_are_listed(ctl: Command, running: Daemon) -> None:
    lines = (await ctl.ok("analysers")).out.splitlines()
    records = (await ctl.ok("analysers", "--json")).records

    known = {analyser["name"] for analyser in running.house.analysers.records()}
    assert {record["name"] for record in records} == known
    assert {line.split()[1] for line in lines[1:]} == known


async def test_match_says_what_matched_and_why_the_others_did_not(ctl: Command) -> None:
    shown = (await ctl.ok("match", SERVICE, "blog")).out
    (record,) = (await ctl.ok("match", SERVICE, "blog", "--json")).records

    assert shown.startswith("'blog' is matched by blog.\n")
    assert record["analyser"] == "blog"
    assert record["why"]["blog"] in shown
    assert record["why"]["bookmarks"] in shown


# status


async def test_status_shows_daemon_accounts_and_sizes(ctl: Command) -> None:
    await kept(ctl)

    shown = (await ctl.ok("status")).out
    (found,) = (await ctl.ok("status", "--json")).records

    assert "running, version" in shown
    assert "3 items of 1 node," in shown
    assert f"online  {ALICE}  config" in shown
    assert found["daemon"]["state"] == "running"
    assert found["accounts"][0]["jid"] == ALICE
    assert found["statistics"]["items"] == 3
    assert found["jobs"][0] | {"path": ""} == {
        "path": "",
        "kind": "sync",
        "state": "done",
        "done": found["jobs"][0]["done"],
        "total": found["jobs"][0]["total"],
        "message": found["jobs"][0]["message"],
        "error": "",
        "error-message": "",
    }

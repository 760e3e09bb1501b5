"""``publish``, ``retract``, ``subscribe``, ``unsubscribe``, ``subscriptions`` and ``discover``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pubsub_cached.xmpp.fake import World
from tests.bus.api_service import ALICE, SERVICE, entry
from tests.support.command import Command

pytestmark = pytest.mark.usefixtures("running")


@pytest.fixture
def made(made: World) -> World:
    """A node that Alice may write to."""
    made.services[SERVICE].create_node("notes")
    made.services[SERVICE].set_affiliation("notes", ALICE, "publisher")
    return made


def stored(made: World, node: str = "notes") -> dict[str, str]:
    """What the service holds."""
    return {item.id: item.payload for item in made.services[SERVICE].items(node)}


async def test_payload_is_read_from_stdin_and_the_id_printed(ctl: Command, made: World) -> None:
    done = await ctl.ok("publish", SERVICE, "notes", "--id", "first", stdin="<note xmlns='urn:example'>Milk</note>")

    assert done.out == "first\n"
    assert "Milk" in stored(made)["first"]


async def test_payload_is_read_from_a_file_and_the_service_chooses_the_id(
    ctl: Command, made: World, tmp_path: Path
) -> None:
    file = tmp_path / "note.xml"
    file.write_text("<note xmlns='urn:example'>Räksmörgås</note>")

    done = await ctl.ok("publish", SERVICE, "notes", str(file), "--json")

    (id_,) = stored(made)
    assert done.records == [{"id": id_}]
    assert "Räksmörgås" in stored(made)[id_]


@pytest.mark.parametrize(("payload", "status", "said"), [("", 2, "The payload is empty"), ("<a", 1, "payload")])
async def test_what_is_no_payload_is_refused(ctl: Command, payload: str, status: int, said: str) -> None:
    done = await ctl("publish", SERVICE, "notes", stdin=payload)

    assert (done.status, done.out) == (status, "")
    assert said in done.err


async def test_publish_options_are_fields_of_the_form(ctl: Command, made: World) -> None:
    arguments = ("publish", ".", "diary", "--id", "one", "--option", "pubsub#access_model=whitelist")

    await ctl.ok(*arguments, stdin="<note xmlns='urn:example'/>")

    assert made.services[ALICE].node("diary").access_model == "whitelist"


async def test_what_is_no_field_is_refused(ctl: Command) -> None:
    done = await ctl("publish", SERVICE, "notes", "--option", "pubsub#title", stdin="<note xmlns='urn:example'/>")

    assert done.status == 2
    assert "'pubsub#title' is no KEY=VALUE." in done.err


async def test_items_are_retracted(ctl: Command, made: World) -> None:
    for number in range(3):
        made.services[SERVICE].publish("notes", f"n{number}", entry(number), publisher=ALICE)

    done = await ctl.ok("retract", SERVICE, "notes", "n0", "n1")

    assert done.out == "2 items retracted.\n"
    assert list(stored(made)) == ["n2"]


async def test_the_service_s_refusal_is_told(ctl: Command) -> None:
    done = await ctl("publish", SERVICE, "blog", stdin="<note xmlns='urn:example'/>")

    assert done.status == 1
    assert "forbidden" in done.err


async def test_offline_nothing_is_published_unless_it_is_queued(ctl: Command, made: World) -> None:
    await ctl.ok("account", "disconnect", ALICE)
    payload = "<note xmlns='urn:example'/>"

    refused = await ctl("publish", SERVICE, "notes", "--id", "now", stdin=payload)
    queued = await ctl.ok("publish", SERVICE, "notes", "--id", "later", "--queue", stdin=payload)

    assert refused.status == 1
    assert refused.err == f"Error: {ALICE} is offline. 'pubsub-cachectl doctor' says what to do.\n"
    assert queued.out == "later\n"
    assert [job["kind"] for job in (await ctl.ok("status", "--json")).records[0]["jobs"]] == ["outbox"]
    assert stored(made) == {}


async def test_subscribing_and_unsubscribing(ctl: Command) -> None:
    assert (await ctl.ok("subscribe", SERVICE, "notes")).out == "'notes' is subscribed to.\n"
    (record,) = (await ctl.ok("subscriptions", SERVICE, "--json")).records
    assert (record["node"], record["state"], record["jid"]) == ("notes", "subscribed", ALICE)
    assert (await ctl.ok("subscriptions", SERVICE)).out.splitlines()[1].split()[:3] == ["subscribed", "notes", ALICE]

    assert (await ctl.ok("unsubscribe", SERVICE, "notes")).out == "'notes' is no longer subscribed to.\n"
    none = await ctl.ok("subscriptions", SERVICE)
    assert (none.out, none.err) == ("", "The service lists no subscription of the account.\n")


async def test_a_subscription_that_has_to_be_approved_says_so(ctl: Command, made: World) -> None:
    made.services[SERVICE].create_node("club", access_model="authorize")

    done = await ctl.ok("subscribe", SERVICE, "club")
    as_json = await ctl.ok("subscribe", SERVICE, "club", "--json")

    assert done.out == "'club' waits for an owner of the node to approve it, to be subscribed to.\n"
    assert as_json.records == [{"state": "pending"}]


async def test_nodes_of_a_service_are_discovered(ctl: Command) -> None:
    lines = (await ctl.ok("discover", SERVICE)).out.splitlines()
    records = (await ctl.ok("discover", SERVICE, "--json", "--limit", "1")).records

    assert {line.split()[1] for line in lines[1:]} == {"blog", "notes"}
    assert len(records) == 1


async def test_discovery_by_type(ctl: Command) -> None:
    records = (await ctl.ok("discover", SERVICE, "--type", "urn:xmpp:microblog:0", "--json")).records
    none = await ctl.ok("discover", SERVICE, "--type", "unheard-of")

    assert [record["node"] for record in records] == ["blog"]
    assert (none.out, none.err) == ("", "The service lists no such node.\n")


async def test_a_service_that_lists_nothing(ctl: Command, made: World) -> None:
    for node in ("blog", "notes"):
        made.services[SERVICE].delete(node)

    nothing = await ctl.ok("discover", SERVICE)

    assert (nothing.out, nothing.err) == ("", "The service lists nothing.\n")

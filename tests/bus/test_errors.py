"""Errors: how each becomes a D-Bus error, and that none ends the connection."""

from __future__ import annotations

import logging

import pytest

from pubsub_cached.errors import CHARACTERS_AT_MOST, Internal
from tests.bus.sample import ROOT, Client, Sample

INTERNAL = "im.pubsubcache1.Error.Internal"


@pytest.mark.parametrize("member", ["Raise", "RaiseLater"])
async def test_error_of_the_tree_keeps_name_and_text(sample: Sample, client: Client, member: str) -> None:
    assert await client.error(member, "s", "tree") == (
        "im.pubsubcache1.Error.NoSuchNode",
        "There is no node 'blog'.",
    )
    name, text = await client.error(member, "s", "stanza")
    assert name == "im.pubsubcache1.Error.PubSub.PreconditionNotMet"
    assert "no" in text


@pytest.mark.parametrize("member", ["Raise", "RaiseLater"])
@pytest.mark.parametrize(("what", "kind"), [("no secrets here", RuntimeError), ("internal", Internal)])
async def test_unexpected_exception_is_internal_and_logged(
    sample: Sample, client: Client, caplog: pytest.LogCaptureFixture, member: str, what: str, kind: type[Exception]
) -> None:
    with caplog.at_level(logging.ERROR):
        name, text = await client.error(member, "s", what)
    assert name == INTERNAL
    assert "secrets" not in text
    (record,) = [record for record in caplog.records if record.name.startswith("pubsub_cached")]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], kind)
    assert await client.call("Echo", "s", "alive") == ["alive"]


async def test_error_name_that_the_bus_refuses_is_internal(sample: Sample, client: Client) -> None:
    assert (await client.error("Raise", "s", "bad name"))[0] == INTERNAL
    assert await client.call("Echo", "s", "alive") == ["alive"]


async def test_long_value_in_a_message_does_not_hide_what_is_wrong_with_it(sample: Sample, client: Client) -> None:
    _, text = await client.error("Raise", "s", "long text")
    assert text.startswith("'xxx")
    assert text.endswith("xxx' is too long.")
    assert len(text) <= CHARACTERS_AT_MOST


async def test_text_that_the_bus_refuses_is_mended(sample: Sample, client: Client) -> None:
    name, text = await client.error("Raise", "s", "bad text")
    assert name == "im.pubsubcache1.Error.InvalidPayload"
    assert text == "Nul \ufffd and surrogate ?."


@pytest.mark.parametrize("what", ["text", "none", "negative", "big", "tuple"])
async def test_result_of_the_wrong_type_is_internal(sample: Sample, client: Client, what: str) -> None:
    assert (await client.error("Wrong", "s", what))[0] == INTERNAL
    assert await client.call("Echo", "s", "alive") == ["alive"]


async def test_wrong_value_inside_a_record_is_internal(sample: Sample, client: Client) -> None:
    assert (await client.error("WrongRecord"))[0] == INTERNAL
    assert await client.call("Echo", "s", "alive") == ["alive"]


@pytest.mark.parametrize("path", ["", "relative", "/a/", "/a//b", "/a-b", "/a\n", "/é"])
async def test_result_that_is_no_object_path_is_internal(sample: Sample, client: Client, path: str) -> None:
    assert (await client.error("WrongPath", "s", path))[0] == INTERNAL
    assert await client.call("WrongPath", "s", ROOT) == [ROOT]

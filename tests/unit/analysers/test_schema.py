"""The schemas that frontends get say what the parsers give."""

from __future__ import annotations

import msgspec
import pytest

from manual import data
from manual.samples import SAMPLES
from pubsub_cached.analysers import builtin, schema

SCHEMAS = schema.schemas()
SHAPES = {name: shape for module in builtin.READING for name, shape in module.SHAPES.items()}


def test_every_kind_of_item_has_one():
    for record in builtin.registry().records():
        definition = builtin.registry().get(record["name"])
        if not definition.excluded and definition.subtype:
            assert f"{definition.type}/{definition.subtype}" in SCHEMAS
    assert {"blog/microblog", "blog/feed", "blog/metadata"} <= set(SCHEMAS)


def test_they_are_json_and_stand_for_no_values():
    text = msgspec.json.encode(SCHEMAS).decode()
    assert '"default"' not in text


def test_what_is_always_written_is_required():
    def required(name):
        document = SCHEMAS[name]
        return document["$defs"][document["$ref"].rsplit("/", 1)[1]]["required"]

    assert required("blog/microblog") == ["author_verified"]
    assert required("bookmark/room") == ["jid", "autojoin", "has_password", "pinned"]
    assert required("status/mood") == ["active"]
    assert required("file/file") == ["name"]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_reference_leads_somewhere(name):
    document = SCHEMAS[name]

    def references(part):
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for each in part.values():
                yield from references(each)
        elif isinstance(part, list):
            for each in part:
                yield from references(each)

    found = set(references(document))
    assert found
    assert {reference.rsplit("/", 1)[1] for reference in found} <= set(document["$defs"])


def test_what_is_installed_and_documented_is_what_the_parsers_give():
    written = data.documents()
    differing = [path.name for path, text in written.items() if not path.exists() or path.read_text() != text]
    assert not differing, "run scripts/schemas"
    assert set(data.SCHEMAS.rglob("*.json")) == {path for path in written if path.suffix == ".json"}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_sample_in_the_documentation_is_good_and_has_the_shape(name):
    parsed = data.parsed(name)
    assert (f"{parsed.type}/{parsed.subtype}", parsed.errors) == (name, ())
    shape = SHAPES[name]
    assert msgspec.to_builtins(msgspec.json.decode(parsed.data, type=shape)) == msgspec.json.decode(parsed.data)


def test_every_shape_has_a_sample():
    assert {SHAPES[name] for name in SAMPLES} == set(SHAPES.values())

"""``python -m manual.data``: write interfaces/schemas and docs/data.md, from what the built-in parsers give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pubsub_cached.address import Address
from pubsub_cached.analysers import schema
from pubsub_cached.analysers.builtin import MODULES, registry
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.registry import ItemContext, Parsed, Subject
from pubsub_cached.analysers.xml import parse as element_of

from .samples import ACCOUNT, SAMPLES, Sample

CHECKOUT = Path(__file__).resolve().parents[1]
SCHEMAS = CHECKOUT / "interfaces" / "schemas"
PAGE = CHECKOUT / "docs" / "data.md"

HEAD = """\
# What items become

<!-- Written by scripts/schemas from the parsers themselves. -->

Each item that the cache parses has `data` beside its `payload`: a JSON object, as a string. `type` and `subtype` say
which of the objects below it is. Analysers of applications and plugins add others: see `Analysers.List`.

- What is absent is unknown: no key has a default. What the tables call *always* is there, even when it is empty.
- Dates are UTC, `YYYY-MM-DDTHH:MM:SSZ`, so that they sort as strings. Numbers are numbers.
- Texts in several languages are lists; `lang` is left out where nothing says it.
- `text` is plain text, whatever the source was; `xhtml` is sanitised and well-formed: no scripts, no styles, no images,
  no `javascript:` and `data:` links; `xmpp:` links are kept.
- What could not be read (a date without a time zone, a missing title) is left out and named in the item's `errors`.
- Elements that the parser does not know do not disturb it; they are in `payload`.

JSON Schemas (2020-12) of these objects, for code generators and validators, are installed as
`share/pubsub-cached/schemas/TYPE/SUBTYPE.json`; in the source they are in `interfaces/schemas/`.

Search reaches every key by its path: `["locations[*].geoloc.locality", "=", "Bern"]`.

## Which nodes

These analysers are built in.

- *kept* says whether their nodes are kept: `yes`, as soon as the node is known; `on demand`, from when a program reads
  it until nobody has for 30 days; `no`, the service is asked each time; `never`, no byte of it is stored.
- *kind* says how: `log`, an ordered history of which the newest items are kept; `map`, all items are kept, and ids are
  keys; `last`, only the newest item counts.
"""


def documents() -> dict[Path, str]:
    """Each file's text."""
    schemas = schema.schemas()
    files = {SCHEMAS / f"{name}.json": _json(document) + "\n" for name, document in schemas.items()}
    return {**files, PAGE: page(schemas)}


def page(schemas: dict[str, dict[str, Any]]) -> str:
    """The page on data."""
    shapes: dict[str, list[str]] = {}
    parts: dict[str, Any] = {}
    for name, document in schemas.items():
        root = _named(document["$ref"])
        shapes.setdefault(root, []).append(name)
        parts |= document["$defs"]
    lines = [HEAD, *_nodes()]
    for root, names in shapes.items():
        lines += ["", f"## {', '.join(names)}", *_object(parts[root]), *_sample(names)]
    lines += ["", "## Parts", "", "Objects within those above, in alphabetical order."]
    for name in sorted({name for part in parts.values() for name in _inside(part["properties"])}):
        lines += ["", f"### {name}", *_object(parts[name])]
    return "\n".join(lines) + "\n"


def parsed(name: str) -> Parsed:
    """What becomes of the sample of a ``type/subtype``."""
    sample = SAMPLES[name]
    analysers = registry()
    address = Address(ACCOUNT, sample.service or ACCOUNT, sample.node)
    namespace = element_of(sample.payload).nsmap[None]
    matched = analysers.match(Subject(address, namespace))
    assert matched.definition is not None
    return analysers.parse(
        matched.definition.name, ItemContext(address, sample.id, sample.payload, namespace, sample.publisher)
    )


def _inside(part: Any) -> Iterator[str]:
    """The names of the objects that a part of a schema refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield _named(part["$ref"])
        for each in part.values():
            yield from _inside(each)


def _nodes() -> Iterator[str]:
    yield "| analyser | type | nodes | kept | kind |"
    yield "|---|---|---|---|---|"
    for module in MODULES:
        for each in module.DEFINITIONS:
            type_ = f"{each.type}/{each.subtype}" if each.subtype else each.type
            yield f"| {each.name} | {type_} | {_selectors(each)} | {_kept(each)} | {each.kind} |"


def _selectors(definition: Definition) -> str:
    said = []
    if definition.node:
        where = " of one's own" if definition.own else ""
        said.append(f"`{definition.node}`{'' if definition.exact else '…'}{where}")
    if definition.node_type:
        said.append(f"pubsub#type `{definition.node_type}`")
    if definition.namespace:
        said.append(f"payload of `{definition.namespace}`")
    return ", ".join(said)


def _kept(definition: Definition) -> str:
    if definition.excluded:
        return "never"
    return ("on demand" if definition.demand else "yes") if definition.to_sync else "no"


def _object(definition: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield definition["description"].replace("``", "`")
    yield ""
    yield "| key | | |"
    yield "|---|---|---|"
    for key, value in definition["properties"].items():
        yield f"| `{key}` | {_type(value)} | {'always' if key in definition['required'] else ''} |"


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = _named(value["$ref"])
        return f"[{name}](#{name.lower()})"
    if "enum" in value:
        return " or ".join(f"`{each}`" for each in value["enum"])
    if value["type"] == "array":
        return f"list of {_type(value['items'])}"
    if value["type"] == "object":
        return f"object of {_type(value['additionalProperties'])}"
    if value.get("format") == "date-time":
        return "date"
    return {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean"}[value["type"]]


def _sample(names: list[str]) -> Iterator[str]:
    for name in names:
        if name in SAMPLES:
            sample: Sample = SAMPLES[name]
            yield from ("", "```xml", sample.payload, "```", "", "```json")
            yield json.dumps(json.loads(parsed(name).data or "null"), indent=2, ensure_ascii=False)
            yield "```"


def _named(reference: str) -> str:
    return reference.rpartition("/")[2]


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


if __name__ == "__main__":
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(CHECKOUT))

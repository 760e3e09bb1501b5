"""``python -m tests.fuzz.parsers [OPTION...] [DIRECTORY]``: whatever a stranger publishes, through every parser.

Coverage-guided (atheris); the options are libFuzzer's. It begins with the examples of the documentation, and finds the
rest by itself. What it finds is written to ``crash-*``, which it takes as an argument to show it again. It ends after
``-max_total_time=SECONDS`` or ``-runs=NUMBER``, else never.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pubsub_cached.analysers"], enable_loader_override=False):
    from pubsub_cached.address import Address
    from pubsub_cached.analysers import builtin
    from pubsub_cached.analysers.definition import Definition, from_mapping
    from pubsub_cached.analysers.registry import ItemContext, Parsed, Registry, Subject
    from pubsub_cached.errors import InvalidAnalyser

import msgspec

from manual.samples import SAMPLES

ACCOUNT = "me@example.org"
SEPARATOR = b"\0"
TYPES = ("text", "int", "float", "bool", "date", "xml", "lang")
# Long enough for what is within a few elements; the limits themselves are for the ordinary tests.
LONGEST = 4096

REGISTRY = builtin.registry()
DEFINITIONS = [
    definition for module in builtin.READING for definition in module.DEFINITIONS if isinstance(definition, Definition)
]


def check(parsed: Parsed) -> None:
    """What holds of every item, however it came."""
    for error in parsed.errors:
        error.encode()
        if " failed: " in error:
            raise AssertionError(error)
    if parsed.data is not None and not isinstance(msgspec.json.decode(parsed.data), dict):
        raise AssertionError(f"no object: {parsed.data[:200]}")
    parsed.payload.encode("utf-8", "surrogatepass")


def parse(definition: Definition, own: bool, node: str, id: str, publisher: str, payload: str) -> None:
    """An item through a built-in parser, on a node that is its own and on one that may be anything."""
    namespace = payload.partition("xmlns='")[2].partition("'")[0]
    address = Address(ACCOUNT, ACCOUNT if own else "pubsub.example.org", definition.node + node)
    check(REGISTRY.parse(definition.name, ItemContext(address, id, payload, namespace, publisher)))
    matched = REGISTRY.match(Subject(address, namespace or None, node or None))
    if matched.definition is not None:
        check(REGISTRY.parse(matched.definition.name, ItemContext(address, id, payload, namespace, publisher)))


def declare(path: str, type_: str, payload: str) -> None:
    """An item through fields that somebody declared."""
    rules = {"name": "x", "type": "x", "node": "x"}
    paths = {"a": {"path": path, "type": type_}, "b": {"path": path, "list": True}}
    try:
        definition = from_mapping({**rules, "fields": msgspec.json.encode(paths).decode()})
    except InvalidAnalyser as error:
        if not path or path in error.message or len(path) > 100 or "\\u" in repr(path):
            return
        if "fields" not in error.message:
            raise AssertionError(f"the key is not named: {error.message}") from None
        return
    registry = Registry()
    registry.register(definition)
    check(registry.parse("x", ItemContext(Address(ACCOUNT, ACCOUNT, "x"), "1", payload)))


def one(data: bytes) -> None:
    """What libFuzzer calls: a byte that selects the parser, then parts between zeroes, the payload last."""
    if not data:
        return
    node, id, publisher, path, payload = ([b""] * 4 + data[1:].split(SEPARATOR, 4))[-5:]
    text = payload.decode("utf-8", "surrogateescape")
    words = (part.decode("utf-8", "replace") for part in (node, id, publisher))
    if path:
        declare(path.decode("utf-8", "replace"), TYPES[data[0] % len(TYPES)], text)
    else:
        parse(DEFINITIONS[data[0] % len(DEFINITIONS)], data[0] >= 128, *words, text)


def seeds(directory: Path) -> None:
    """Good items to begin with, through their own parser and through declared paths."""
    for number, sample in enumerate(SAMPLES.values()):
        found = REGISTRY.match(Subject(Address(ACCOUNT, ACCOUNT, sample.node), None)).definition
        definition = found if found in DEFINITIONS else DEFINITIONS[0]
        chosen = bytes([DEFINITIONS.index(definition) + (128 // len(DEFINITIONS) + 1) * len(DEFINITIONS)])
        node = sample.node.removeprefix(definition.node)
        for path in ("", "{urn:x}a/{*}b[2]/@c"):
            parts = (node, sample.id, sample.publisher, path, sample.payload)
            content = chosen + SEPARATOR.join(part.encode() for part in parts)
            (directory / f"{number}{'-fields' if path else ''}").write_bytes(content)


def words(file: Path) -> None:
    """What the payloads are made of, for mutations that keep to the grammar."""
    found = {f"xmlns='{definition.namespace or definition.node}'" for definition in DEFINITIONS}
    found |= {
        "<![CDATA[",
        "]]>",
        "&amp;",
        "&#0;",
        "<!DOCTYPE x [<!ENTITY e 'e'>]>",
        "xml:lang='",
        "xml:base='",
        "http://[",
    }
    found |= {
        part
        for sample in SAMPLES.values()
        for part in sample.payload.replace("<", "\n<").split("\n")
        if part[:1] == "<"
    }
    quoted = (part.encode("unicode_escape").decode().replace('"', '\\"') for part in sorted(found) if part.isascii())
    file.write_text("".join(f'"{part}"\n' for part in quoted if "\\n" not in part))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        corpus, dictionary = Path(name, "corpus"), Path(name, "words")
        corpus.mkdir()
        seeds(corpus)
        words(dictionary)
        options = [f"-max_len={LONGEST}", "-timeout=10", "-rss_limit_mb=2048", f"-dict={dictionary}"]
        own = [argument for argument in sys.argv[1:] if Path(argument).is_file()]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], *([] if own else [str(corpus)])], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

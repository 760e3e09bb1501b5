"""Who keeps something in memory: the dictionaries, sets and lists of the cache in which it is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pubsub_cached.recent import Recent


def keepers(root: object, wanted: object) -> list[str]:
    """Attributes below an object, as ``Class.attribute``, whose containers have an element, or a key with a part, equal
    to what is wanted. What forgets by itself, as it keeps what came last (``Recent``), is left out.
    """
    return sorted({where for where, container in containers(root) if any(_is(wanted, each) for each in container)})


def _is(wanted: object, element: object) -> bool:
    return element == wanted or (isinstance(element, tuple) and wanted in element)


def containers(root: object) -> Iterator[tuple[str, list[Any]]]:
    """What is in each container below an object, with the attribute that it is in or below."""
    seen = {id(root)}
    waiting: list[tuple[str, object]] = [(type(root).__name__, root)]
    while waiting:
        where, found = waiting.pop()
        inner: list[tuple[str, object]]
        if isinstance(found, Mapping):
            yield where, list(found)
            inner = [(where, value) for value in found.values()]
        elif isinstance(found, (list, set, frozenset, tuple)):
            yield where, list(found)
            inner = [(where, value) for value in found]
        elif _ours(found):
            inner = [(f"{type(found).__name__}.{name}", value) for name, value in _attributes(found)]
        else:
            continue
        for each in inner:
            if id(each[1]) not in seen and not isinstance(each[1], Recent):
                seen.add(id(each[1]))
                waiting.append(each)


def _ours(found: object) -> bool:
    """Of the simulated services a test may know everything; rows and records are values."""
    module = type(found).__module__
    return module.startswith("pubsub_cached.") and not module.startswith("pubsub_cached.xmpp.fake")


def _attributes(found: object) -> Iterator[tuple[str, object]]:
    names = {*getattr(found, "__dict__", ()), *(slot for each in type(found).__mro__ for slot in _slots(each))}
    for name in names:
        if hasattr(found, name):
            yield name, getattr(found, name)


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)

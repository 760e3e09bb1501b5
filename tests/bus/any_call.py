"""Calls of everything in the contract, made from the introspection data: right, nearly right, and wrong."""

from __future__ import annotations

from typing import Any, NamedTuple

from dbus_fast import Variant
from hypothesis import strategies as st

from manual.contract import contracts
from pubsub_cached.bus.values import signature_tree
from tests.bus.api_service import ALICE, SERVICE

FD = "h"
PROPERTIES = "org.freedesktop.DBus.Properties"

# What makes sense somewhere, so that calls get past the first check.
WORDS = (
    *(
        "",
        ALICE,
        "bob@example.org",
        "carol@example.org",
        SERVICE,
        "blog",
        "notes",
        "urn:xmpp:bookmarks:1",
        "storage:bookmarks",
    ),
    *("post-0", "post-1", "current", "gtk", '-x "y', "read", "starred", "Not A Flag", "\ufffd\U0001f600", "x" * 5000),
    *("modified desc", "data.title asc", "rank desc,id", "default", "cache", "refresh", "network", "live", "blog,,"),
    *(
        '{"types":["blog"]}',
        '{"where":[["title","exists",true]]}',
        '{"where":[["a[*].b","<",[1]]]}',
        '{"ids":[null]}',
        "{",
    ),
    *(
        "<entry xmlns='http://www.w3.org/2005/Atom'><title>x</title></entry>",
        "<a",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    ),
    *(
        "ticket",
        "bookmarks",
        "jabber:x:data",
        "log",
        "/agent",
        "not/a path",
        "im.pubsubcache1",
        "sssa{sv}",
        "debug",
        "console",
    ),
)
LIKELY = {
    "account": ("", ALICE, ""),
    "service": (SERVICE, "", SERVICE),
    "node": ("blog", "blog", "notes", "urn:xmpp:bookmarks:1"),
    "text": ("", "number"),
    "query": ("", '{"types":["blog"]}', '{"where":[["title[0].text","exists",true]]}'),
    "payload": ("<entry xmlns='http://www.w3.org/2005/Atom'><title>x</title></entry>",),
    "item_id": ("", "post-0"),
}
"""Words that fit an argument, by its name."""
NUMBERS = (0, 1, 2, 50, 500, 501, 65535, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, -1, -(2**63))
BOUNDS = {
    "y": (0, 2**8 - 1),
    "n": (-(2**15), 2**15 - 1),
    "q": (0, 2**16 - 1),
    "i": (-(2**31), 2**31 - 1),
    "u": (0, 2**32 - 1),
    "x": (-(2**63), 2**63 - 1),
    "t": (0, 2**64 - 1),
}
SIGNATURES = ("s", "b", "u", "x", "t", "d", "as", "av", "a{sv}", "o", "g", "y", "q", "ay", "(ss)", "v", "a{ss}", "aas")


class Call(NamedTuple):
    """A call. of: the interface of the object it is for. which: of these objects, counted round. fds: sent along."""

    interface: str
    member: str
    signature: str
    body: list[Any]
    of: str
    which: int
    fds: int
    expects_reply: bool


def texts() -> st.SearchStrategy[str]:
    written = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
    return st.sampled_from(WORDS) | written


def paths() -> st.SearchStrategy[str]:
    return st.sampled_from(("/", "/im/pubsubcache1", "/im/pubsubcache1/job/daemon/j1", "/a_b/c"))


def values(signature: str, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of one complete type."""
    if signature in BOUNDS:
        least, most = BOUNDS[signature]
        return st.sampled_from([one for one in NUMBERS if least <= one <= most]) | st.integers(least, most)
    match signature[0]:
        case "s":
            return texts()
        case "b":
            return st.booleans()
        case "d":
            return st.floats()
        case "o":
            return paths()
        case "g":
            return st.sampled_from(("", "s", "a{sv}", "aas"))
        case "h":
            return st.just(0)
        case "v":
            return variants(depth + 1)
        case "(":
            return st.tuples(texts(), texts()).map(list)
        case _ if signature.startswith("a{s"):
            return st.dictionaries(texts(), values(signature[3:-1], depth + 1), max_size=3)
        case _ if signature == "ay":
            return st.binary(max_size=8)
    return st.lists(values(signature[1:], depth + 1), max_size=4)


def variants(depth: int = 0) -> st.SearchStrategy[Variant]:
    """Variants of any type, not too deep."""
    kinds = [one for one in SIGNATURES if depth < 2 or "v" not in one]
    return st.sampled_from(kinds).flatmap(lambda kind: values(kind, depth + 1).map(lambda value: Variant(kind, value)))


def options(keys: dict[str, str]) -> st.SearchStrategy[dict[str, Variant]]:
    """A record: mostly the documented keys with their own types, sometimes others."""
    known = [
        values(kind).map(lambda value, key=key, kind=kind: (key, Variant(kind, value))) for key, kind in keys.items()
    ]
    other = st.tuples(st.sampled_from([*keys, "no-such-key", "pubsub#title", ""]), variants())
    return st.lists(st.one_of(*known, other), max_size=3).map(dict)


def argument(name: str, kind: str, keys: dict[str, str]) -> st.SearchStrategy[Any]:
    """Values of an argument: mostly such as it is made for."""
    if kind == "a{sv}":
        return options(keys)
    if name in LIKELY:
        return st.one_of(*[st.sampled_from(LIKELY[name])] * 4, values(kind))
    return values(kind)


class Member(NamedTuple):
    """A method, each argument with its name, type and keys; or with a type a property as ``Properties`` sees it."""

    interface: str
    name: str
    arguments: list[tuple[str, str, dict[str, str]]]
    type: str = ""


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """One call."""
    member = draw(st.sampled_from(MEMBERS))
    interface, name = member.interface, member.name
    if member.type:
        kind = draw(st.sampled_from((member.type, member.type, *SIGNATURES)))
        accesses = {
            "Get": ("ss", [interface, name]),
            "GetAll": ("s", [interface]),
            "Set": ("ssv", [interface, name, Variant(kind, draw(values(kind)))]),
        }
        name = draw(st.sampled_from(sorted(accesses)))
        signature, body = accesses[name]
    else:
        signature = "".join(kind for _, kind, _ in member.arguments)
        body = [draw(argument(*each)) for each in member.arguments]
    if draw(st.integers(0, 9)) == 0:
        signature = "".join(draw(st.lists(st.sampled_from(SIGNATURES), max_size=4)))
        body = [draw(values(kind.signature)) for kind in signature_tree(signature).types]
    fds = signature.count(FD) or draw(st.sampled_from((0, 0, 0, 0, 0, 3)))
    where = PROPERTIES if member.type else interface
    return Call(where, name, signature, body, interface, draw(st.integers(0, 30)), fds, draw(st.integers(0, 9)) > 0)


def _members() -> list[Member]:
    found = [
        Member("org.freedesktop.DBus.ObjectManager", "GetManagedObjects", []),
        Member("org.freedesktop.DBus.Introspectable", "Introspect", []),
    ]
    for contract in contracts():
        if contract.name == "im.pubsubcache1.AnalyserAgent":
            continue
        for method in contract.of("method").values():
            given = [argument for argument in method.arguments if argument.direction == "in"]
            arguments = [
                (each.name, each.type, (contract.keys(method.name, each.name) or {}) if each.type == "a{sv}" else {})
                for each in given
            ]
            found.append(Member(contract.name, method.name, arguments))
        found += [Member(contract.name, each.name, [], each.type) for each in contract.of("property").values()]
    return found


MEMBERS = _members()

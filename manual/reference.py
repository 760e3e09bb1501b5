"""The reference of the D-Bus interfaces, in Markdown: a page an interface, and one of all errors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping

from pubsub_cached import errors

from .contract import EMITS, Argument, Contract, Key, Member, contracts
from .markdown import code, escape, table

PREFIX = "im.pubsubcache1."
# What a page shows of a line of code.
WIDTH = 60

_KINDS = {"property": "Properties", "method": "Methods", "signal": "Signals"}
_NAME = re.compile(r"\b(?P<member>[A-Z]\w*[a-z]\w*[A-Z]\w*)\b(?: of (?P<interface>im\.pubsubcache1\.\w+))?")
# Not met under their own names.
_FAMILIES = (errors.PubSubCachedError, errors.StanzaError)
_CONDITIONS = (
    ("Xmpp", "RFC 6120 8.3.3", "remote-server-timeout"),
    ("PubSub", "XEP-0060, to a request of im.pubsubcache1.PubSub", "precondition-not-met"),
)
_SIGNALLED = {
    "true": "PropertiesChanged tells the new value",
    "const": "It never changes",
    "false": "Its change is not signalled",
}


def pages() -> dict[str, str]:
    """Each page's Markdown by the name of its file."""
    return {
        "index.md": overview(),
        **{f"{contract.name}.md": interface(contract) for contract in contracts()},
        "errors.md": error_page(),
    }


def overview() -> str:
    """All interfaces, and what holds for each of them."""
    manager = next(contract for contract in contracts() if contract.name == f"{PREFIX}Manager")
    return "\n".join(
        [
            "# D-Bus reference",
            "",
            "These pages are made from `interfaces/*.xml`, which are the contract. Where the files are installed says "
            "`python3 -c 'from pubsub_cached import paths; print(paths.interfaces())'`; the Debian package also puts "
            "them into `/usr/share/dbus-1/interfaces`. `gdbus-codegen` and `qdbusxml2cpp` read them.",
            *table(
                ("interface", "what it is"),
                (
                    (f"[{contract.name}]({contract.name}.md)", escape(contract.doc.arguments["short_description"]))
                    for contract in contracts()
                ),
            ),
            "## For all of them",
            "",
            *_paragraphs(manager, manager.doc.paragraphs[1:]),
            "[Errors](errors.md) lists every error with its meaning.",
            "",
        ]
    )


def interface(contract: Contract) -> str:
    """One interface: each member with its arguments, keys and errors."""
    lines = [
        f"# {contract.name}",
        "",
        f"**{escape(contract.doc.arguments['short_description'])}**",
        "",
        *_paragraphs(contract, contract.doc.paragraphs),
        *_errors(contract, contract.doc.errors, "Errors of every member:"),
    ]
    for kind, title in _KINDS.items():
        members = contract.of(kind)
        if members:
            lines += ["", f"## {title}"]
        for member in members.values():
            lines += ["", f"### {member.name} {{ #{member.name} }}", "", *_member(contract, member)]
    return "\n".join(lines) + "\n"


def error_page() -> str:
    """Every error, and the members that say when it comes."""
    said: dict[str, list[str]] = {}
    for contract in contracts():
        for name in contract.doc.errors:
            said.setdefault(name, []).append(f"[{contract.name}]({contract.name}.md)")
        for member in contract.members:
            for name in member.doc.errors:
                link = f"[{_short(contract)}.{member.name}]({contract.name}.md#{member.name})"
                said.setdefault(name, []).append(link)
    lines = [
        "# Errors",
        "",
        "Each cause has an error name. The message is a sentence with the offending value and, where there is one, the "
        "remedy. busctl shows only the message, gdbus the name as well.",
    ]
    for name, full, meaning in _all_errors():
        lines += ["", f"### {name} {{ #{name} }}", "", code(full), "", meaning]
        if name in said:
            lines += ["", f"Met at {', '.join(said[name])}."]
    return "\n".join(lines) + "\n"


def _all_errors() -> Iterator[tuple[str, str, str]]:
    """Name as the interfaces write it, full name, meaning."""
    for _, class_ in inspect.getmembers(errors, inspect.isclass):
        if issubclass(class_, errors.PubSubCachedError) and class_ not in _FAMILIES:
            yield class_.__name__, class_.dbus_name, escape(inspect.cleandoc(class_.__doc__ or ""))
    for family, where, condition in _CONDITIONS:
        meaning = f"The service answered with this condition of {where}, in CamelCase: {code(condition)} becomes "
        yield (
            f"{family}.CONDITION",
            f"{errors.PREFIX}{family}.CONDITION",
            f"{meaning}{code(f'{family}.{errors.camel(condition)}')}. The message holds the service's own text.",
        )


def _member(contract: Contract, member: Member) -> Iterator[str]:
    yield "```text"
    yield _signature(member)
    yield "```"
    yield ""
    yield from _paragraphs(contract, member.doc.paragraphs)
    if member.kind == "property" and "is not signalled" not in member.doc.text:
        yield f"{_SIGNALLED[member.annotations[EMITS]]}."
        yield ""
    yield from table(
        ("argument", "", "type", "meaning"),
        (
            (
                code(each.name),
                "" if member.kind == "signal" else each.direction,
                code(each.type),
                _linked(contract, each.text),
            )
            for each in member.arguments
        ),
    )
    for argument in member.arguments:
        yield from _record(contract, member, argument)
    yield from _errors(contract, member.doc.errors, "Errors:")


def _signature(member: Member) -> str:
    if member.kind == "property":
        return f"{member.name}  {member.type}  {member.access}"
    ins, outs = (
        ", ".join(f"{each.type} {each.name}" for each in member.arguments if each.direction == direction)
        for direction in ("in", "out")
    )
    if member.kind == "signal":
        return f"{member.name}({outs})"
    line = f"{member.name}({ins})"
    between = " " if len(line) + len(outs) < WIDTH else "\n    "
    return f"{line}{between}→ ({outs})" if outs else line


def _record(contract: Contract, member: Member, argument: Argument) -> Iterator[str]:
    """The keys of an argument that is a record."""
    title = f"Keys of {code(argument.name)}"
    if argument.name in member.doc.same:
        same, of = member.doc.same[argument.name]
        yield f"{title}: as {code(same)} of {_link(contract, of)}."
        yield ""
    elif argument.name in member.doc.keys:
        keys: Mapping[str, Key] = member.doc.keys[argument.name]
        yield f"{title}:"
        rows = ((code(name), code(key.type), _linked(contract, key.text)) for name, key in keys.items())
        yield from table(("key", "type", "meaning"), rows)


def _errors(contract: Contract, said: Mapping[str, str], title: str) -> list[str]:
    rows = [(f"[{name}](errors.md#{name})", _linked(contract, text)) for name, text in said.items()]
    return [title, *table(("error", "when"), rows)] if rows else []


def _paragraphs(contract: Contract, paragraphs: list[list[str]]) -> Iterator[str]:
    for first, *entries in paragraphs:
        yield _linked(contract, first)
        yield ""
        for entry in entries:
            yield f"- {_linked(contract, entry.removeprefix('- '))}"
        yield ""


def _linked(contract: Contract, text: str) -> str:
    """Text in which the names of members lead to them."""

    def link(match: re.Match[str]) -> str:
        interface = match["interface"]
        of = f" of {interface}" if interface else ""
        return _link(contract, f"{interface}.{match['member']}" if interface else match["member"]) + of

    return _NAME.sub(link, escape(text))


def _link(contract: Contract, name: str) -> str:
    """A member's name, with its interface or without, as a link; as it is where it is the name of none."""
    interface, _, member = name.rpartition(".")
    homes = [each for each in contracts() if any(member == found.name for found in each.members)]
    if interface:
        homes = [each for each in homes if each.name == interface]
    home = contract if contract in homes else homes[0] if len(homes) == 1 else None
    if home is None:
        return member
    return f"[{member}]({'' if home is contract else f'{home.name}.md'}#{member})"


def _short(contract: Contract) -> str:
    return contract.name.removeprefix(PREFIX)

"""The JSON query of a search: read, checked, and made into plain structs. Nothing here knows a database.

Source: dbus-api.md, "Search". Every InvalidQuery names the clause, as ``where[2].any[0]``, and the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ... import data_path as paths
from ... import flag
from ...address import Address
from ...counting import listed
from ...data_path import Path
from ...errors import InvalidArgs, InvalidQuery

CHARACTERS_AT_MOST = 10_000
CLAUSES_AT_MOST = 32
NESTED_AT_MOST = 8
FLAGS_AT_MOST = 64
KEYS_AT_MOST = 16

Scalar = str | int | float | bool | None


class Condition(msgspec.Struct, frozen=True):
    """One clause: what is at the path, compared with a value; a missing path fails it."""

    path: Path
    operator: str
    value: Any


class AnyOf(msgspec.Struct, frozen=True):
    """At least one of the clauses holds."""

    clauses: tuple[Clause, ...]


class Not(msgspec.Struct, frozen=True):
    """The clause does not hold."""

    clause: Clause


Clause = Condition | AnyOf | Not


class Query(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an item has to be; an empty list constrains nothing.

    subtypes: None is "without". flags: names, and whether the item has to have them or not; all have to fit.
    """

    accounts: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    subtypes: tuple[str | None, ...] = ()
    ids: tuple[str, ...] = ()
    flags: tuple[tuple[str, bool], ...] = ()
    where: tuple[Clause, ...] = ()

    def names(self, address: Address) -> bool:
        """Whether a node is among those that it names. The service "" is the account's own."""
        services = self.services
        return (
            (not self.accounts or address.account in self.accounts)
            and (not services or address.service in services or (address.own and "" in services))
            and (not self.nodes or address.node in self.nodes)
        )


Order = tuple[tuple[str | Path, bool], ...]
"""What to sort by, the first first: ``created``, ``modified``, ``id``, ``rank`` or a path; and whether it descends."""


def parse(text: str) -> Query:
    """The query that is written so; "" is one without constraints. Raises InvalidQuery."""
    if len(text) > CHARACTERS_AT_MOST:
        raise InvalidQuery(f"The query has {len(text)} characters, and {CHARACTERS_AT_MOST} is the most.")
    if not text.strip():
        return Query()
    try:
        given = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        example = '{"types":["blog"]}'
        raise InvalidQuery(f"The query is no JSON: {error}. Write an object, such as {example}.") from None
    if not isinstance(given, dict):
        raise InvalidQuery(f"The query is {_shown(given)} and has to be a JSON object.")
    for key in given:
        if key not in _KEYS:
            raise InvalidQuery(f"'{key}' is no key of a query; there are {listed(_KEYS, 'and')}.")
    return Query(**{key: _KEYS[key](key, value) for key, value in given.items()})


def parse_order(text: str) -> Order:
    """The option ``order`` of a search. Raises InvalidArgs."""
    if len(text) > CHARACTERS_AT_MOST:
        raise InvalidArgs(f"The option 'order' has {len(text)} characters, and {CHARACTERS_AT_MOST} is the most.")
    order: dict[str | Path, bool] = {}
    for part in _split(text):
        name, _, direction = part.strip().rpartition(" ")
        if direction not in ("asc", "desc") or not name:
            # Else it would be a path with a blank in it, which leads nowhere, and nothing would be in order.
            if name and direction.lower() in ("asc", "desc", "ascending", "descending"):
                raise InvalidArgs(f"The option 'order' has '{part.strip()}'; a direction is asc or desc.")
            name, direction = part.strip(), "asc"
        key = _order_key(name.strip())
        if key in order:
            raise InvalidArgs(f"The option 'order' names '{name}' twice.")
        order[key] = direction == "desc"
    if len(order) > KEYS_AT_MOST:
        raise InvalidArgs(f"The option 'order' names {len(order)} keys, and {KEYS_AT_MOST} is the most.")
    return tuple(order.items())


def _order_key(name: str) -> str | Path:
    if name in ("created", "modified", "id", "rank"):
        return name
    if name.startswith(("data.", "data[")):
        try:
            path = paths.parse(name[4:].removeprefix("."))
        except ValueError as error:
            raise InvalidArgs(f"The option 'order' has '{name}': {error}.") from None
        if path.single:
            return path
        raise InvalidArgs(f"The option 'order' has '{name}', and [*] leads to many places; name one, such as [0].")
    raise InvalidArgs(
        f"The option 'order' has '{name}'; it may have created, modified, id, rank or data.PATH, each with asc or desc."
    )


def _split(text: str) -> list[str]:
    """The parts between commas, but not those in quotes."""
    parts, quoted = [""], False
    for character in text:
        if character == "," and not quoted:
            parts.append("")
            continue
        quoted ^= character == '"'
        parts[-1] += character
    return parts


# The lists


def _list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidQuery(f"{key} is {_shown(value)} and has to be a list.")
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    for number, text in enumerate(_list(key, value)):
        if not isinstance(text, str):
            raise InvalidQuery(f"{key}[{number}] is {_shown(text)} and has to be a string.")
    return tuple(dict.fromkeys(value))


def _subtypes(key: str, value: Any) -> tuple[str | None, ...]:
    for number, text in enumerate(_list(key, value)):
        if text is not None and not isinstance(text, str):
            raise InvalidQuery(f"{key}[{number}] is {_shown(text)} and has to be a string, or null for without.")
    return tuple(dict.fromkeys(value))


def _flags(key: str, value: Any) -> tuple[tuple[str, bool], ...]:
    flags: dict[str, bool] = {}
    for number, text in enumerate(_texts(key, value)):
        name = text.removeprefix("-")
        if not flag.NAME.fullmatch(name):
            raise InvalidQuery(f"{key}[{number}] is '{text}', which names no flag; {flag.RULE}.")
        if flags.setdefault(name, name == text) is not (name == text):
            raise InvalidQuery(f"{key}[{number}] is '{text}', and the list has its opposite; nothing fits both.")
    if len(flags) > FLAGS_AT_MOST:
        raise InvalidQuery(f"{key} has {len(flags)} names, and {FLAGS_AT_MOST} is the most.")
    return tuple(flags.items())


# The clauses


def _where(key: str, value: Any) -> tuple[Clause, ...]:
    reader = _Clauses()
    return tuple(reader.clause(f"{key}[{number}]", given, 0) for number, given in enumerate(_list(key, value)))


class _Clauses:
    """Reads clauses and counts them."""

    def __init__(self) -> None:
        self._count = 0

    def clause(self, where: str, given: Any, depth: int) -> Clause:
        """The clause that stands at ``where``, inside of ``depth`` others."""
        if isinstance(given, list):
            self._count += 1
            if self._count > CLAUSES_AT_MOST:
                raise InvalidQuery(f"{where} is one clause too many; {CLAUSES_AT_MOST} is the most.")
            return _test(where, given)
        if not isinstance(given, dict) or len(given) != 1:
            raise InvalidQuery(
                f"{where} is {_shown(given)}; a clause is [path, operator, value], "
                '{"any": [clauses]} or {"not": clause}.'
            )
        ((key, inner),) = given.items()
        if depth >= NESTED_AT_MOST:
            raise InvalidQuery(f"{where} is nested {depth + 1} deep, and {NESTED_AT_MOST} is the most.")
        if key == "not":
            return Not(self.clause(f"{where}.not", inner, depth + 1))
        if key != "any":
            raise InvalidQuery(f"{where} has '{key}'; it may have any or not.")
        if not isinstance(inner, list) or not inner:
            raise InvalidQuery(f"{where}.any is {_shown(inner)} and has to be a list of clauses, one at least.")
        return AnyOf(tuple(self.clause(f"{where}.any[{number}]", one, depth + 1) for number, one in enumerate(inner)))


def _test(where: str, given: list[Any]) -> Condition:
    if len(given) != 3:
        raise InvalidQuery(f"{where} has {len(given)} parts; a clause is [path, operator, value].")
    written, operator, value = given
    if not isinstance(written, str):
        raise InvalidQuery(f"{where} has the path {_shown(written)}, which has to be a string.")
    try:
        path = paths.parse(written)
    except ValueError as error:
        raise InvalidQuery(f"{where}: {error}.") from None
    if not isinstance(operator, str) or operator not in _VALUES:
        raise InvalidQuery(f"{where} has the operator {_shown(operator)}; it may be {listed(_VALUES)}.")
    return Condition(path, operator, _VALUES[operator](f"{where}: the value of '{operator}'", value))


def _scalar(what: str, value: Any) -> Any:
    if isinstance(value, (list, dict)):
        raise InvalidQuery(f"{what} is {_shown(value)} and has to be a string, a number, true, false or null.")
    return _fitting(what, value)


def _ordered(what: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise InvalidQuery(f"{what} is {_shown(value)} and has to be a string or a number.")
    return _fitting(what, value)


def _fitting(what: str, value: Any) -> Any:
    """The database knows whole numbers of 64 bits; a larger one is compared as it is stored, as a float."""
    if not isinstance(value, int) or -(2**63) <= value < 2**63:
        return value
    try:
        return float(value)
    except OverflowError:
        raise InvalidQuery(f"{what} is {_shown(value)}, which is out of the range of numbers.") from None


def _range(what: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidQuery(f"{what} is {_shown(value)} and has to be [least, most].")
    least, most = (_ordered(what, end) for end in value)
    if isinstance(least, str) is not isinstance(most, str):
        raise InvalidQuery(f"{what} is {_shown(value)}; both have to be strings, or both numbers.")
    return least, most


def _scalars(what: str, value: Any) -> tuple[Scalar, ...]:
    if not isinstance(value, list):
        raise InvalidQuery(f"{what} is {_shown(value)} and has to be a list.")
    return tuple(_scalar(what, one) for one in value)


def _pattern(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidQuery(f"{what} is {_shown(value)} and has to be a string.")
    if (len(value) - len(value.rstrip("\\"))) % 2:
        raise InvalidQuery(f"{what} is {_shown(value)}; the \\ at its end stands before nothing.")
    return value


def _boolean(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidQuery(f"{what} is {_shown(value)} and has to be true or false.")
    return value


_VALUES: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("=", "!="), _scalar),
    **dict.fromkeys(("<", "<=", ">", ">="), _ordered),
    "between": _range,
    **dict.fromkeys(("in", "not-in"), _scalars),
    **dict.fromkeys(("like", "ilike", "not-like", "not-ilike"), _pattern),
    **dict.fromkeys(("overlap", "ioverlap", "disjoint", "idisjoint"), _scalars),
    "exists": _boolean,
}

_KEYS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("accounts", "services", "nodes", "types"), _texts),
    "subtypes": _subtypes,
    "ids": _texts,
    "flags": _flags,
    "where": _where,
}


def _shown(value: Any) -> str:
    """A value in a sentence, shortened."""
    text = msgspec.json.encode(value).decode(errors="replace")
    return text if len(text) <= 60 else text[:59] + "…"

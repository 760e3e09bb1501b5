"""What an analyser is: the keys of its definition, checked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from lxml.etree import _Element

from .. import data_path
from ..address import Address
from ..errors import InvalidAnalyser, InvalidArgs
from ..mistakes import explain
from ..object_path import is_object_path
from ..writable import check_texts
from . import element_path
from . import fields as field_rules
from .fields import Field
from .item import NO_TEXT, CoroutineParser, Parser

Kind = Literal["log", "map", "last"]
Callback = Literal["parse", "match"]

MOST_CHARACTERS = 128
# Of 'fields' as JSON.
MOST_JSON = 65536
# Each costs every item that is written.
MOST_INDEXES = 16
_BUS_NAME = re.compile(r"(?=.{1,255}$)[A-Za-z_-][A-Za-z0-9_-]*(?:\.[A-Za-z_-][A-Za-z0-9_-]*)+")


class Subject(msgspec.Struct, frozen=True):
    """What is known of a node when it is classified.

    namespace: of the newest item's payload, None when there is none. node_type: ``pubsub#type``.
    config: the node's metadata, values as sent.
    """

    address: Address
    namespace: str | None = None
    node_type: str | None = None
    config: Mapping[str, list[str]] = {}


_TAKEN = f"^[^{NO_TEXT}]*$"
Type = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_CHARACTERS, pattern=_TAKEN)]
Subtype = Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS, pattern=_TAKEN)]


class Analysis(msgspec.Struct):
    """What a ``match`` callable may change, once its definition matched."""

    type: Type
    subtype: Subtype
    to_sync: bool


Match = Callable[[Subject, Analysis], None]


class Rules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, rename="kebab"):
    """The keys that a definition has wherever it is written (D-Bus, TOML, JSON)."""

    name: str
    type: str
    node: str = ""
    namespace: str = ""
    node_type: str = ""
    exact: bool = False
    to_sync: bool = False
    demand: bool = False
    agent: str = ""
    callbacks: tuple[Callback, ...] = ()
    bus_name: str = ""
    fields: dict[str, Field] = {}
    indexes: tuple[str, ...] = ()
    kind: Kind = "log"
    private: bool = False
    priority: int = 0
    persist: bool = False
    version: int = 1


class Definition(Rules, frozen=True, kw_only=True, omit_defaults=True):
    """An analyser; what ``Rules`` does not have is for code within the daemon.

    parser: payload to data, at once, or as a coroutine once the item is stored. passes: how often it goes through an
    item, about. match: called once the definition matched. subtype: of node and items.
    own: matches the account's own PEP service only. excluded: nothing is ever stored; wins over every
    other definition, whatever its priority. takes_over: namespaces of payloads that this parser gets on
    every node. scrubs: callables that take secrets out of a payload before anything is stored, and say
    whether there were any; by a namespace that occurs in it, on whatever node, or "" for all of the own nodes. A plugin
    has none, for nothing can be stored before they end.
    """

    subtype: str = ""
    parser: Parser | CoroutineParser | None = None
    passes: int = 1
    match: Match | None = None
    own: bool = False
    excluded: bool = False
    takes_over: frozenset[str] = frozenset()
    scrubs: Mapping[str, Callable[[_Element], bool]] = {}

    @property
    def has_parser(self) -> bool:
        """Whether items become data, here or at an agent."""
        return self.parser is not None or "parse" in self.callbacks

    @property
    def deferred(self) -> bool:
        """Whether items are stored first and become data later, at an agent or in a coroutine."""
        return "parse" in self.callbacks or _is_coroutine(self.parser)

    @property
    def asks(self) -> bool:
        """Whether an agent decides what becomes of a node."""
        return "match" in self.callbacks

    def to_json(self) -> str:
        """The keys that differ from their defaults, as JSON."""
        rules = {name: getattr(self, name) for name in Rules.__struct_fields__}
        return msgspec.json.encode(Rules(**rules)).decode()


def from_mapping(values: Mapping[str, Any]) -> Definition:
    """A definition from the keys of a file or a D-Bus call; ``fields`` may be JSON text.

    Raises InvalidAnalyser, which names the key.
    """
    values = dict(values)
    if "fields" in values:
        values["fields"] = _fields(values["fields"])
    try:
        rules = msgspec.convert(values, Rules)
    except msgspec.ValidationError as error:
        raise InvalidAnalyser(_told(error, Rules, values, "")) from None
    return checked(Definition(**msgspec.structs.asdict(rules)))


def checked(definition: Definition) -> Definition:
    """The definition with its name normalised.

    Raises InvalidAnalyser, which names the key and the remedy.
    """
    name = definition.name.strip().lower()
    definition = msgspec.structs.replace(definition, name=name)
    if not name or len(name) > MOST_CHARACTERS or not name.isprintable() or re.search(r"[\s/]", name):
        raise InvalidAnalyser(f"'name' is '{name}'; give 1 to {MOST_CHARACTERS} characters without spaces and '/'.")
    if not definition.type.strip() or len(definition.type) > MOST_CHARACTERS or not definition.type.isprintable():
        raise InvalidAnalyser(
            f"'type' of '{name}' is '{definition.type}'; give a word that people search for, such as 'event', of at "
            f"most {MOST_CHARACTERS} characters."
        )
    _check_selectors(definition)
    _check_callbacks(definition)
    if not -(2**31) <= definition.priority < 2**31:
        raise InvalidAnalyser(f"'priority' of '{name}' is {definition.priority}, which does not fit 32 bits.")
    if not 1 <= definition.version < 2**32:
        raise InvalidAnalyser(f"'version' of '{name}' is {definition.version}; count from 1 to 4294967295.")
    if len(definition.indexes) > MOST_INDEXES:
        raise InvalidAnalyser(f"'indexes' of '{name}' has {len(definition.indexes)} paths; {MOST_INDEXES} is the most.")
    for index in definition.indexes:
        if not 1 <= len(index) <= element_path.LONGEST:
            raise InvalidAnalyser(
                f"'indexes' of '{name}' has '{index}'; a path has 1 to {element_path.LONGEST} characters."
            )
        try:
            data_path.parse_single(index)
        except ValueError as error:
            raise InvalidAnalyser(f"'indexes' of '{name}': {error}.") from None
    if definition.fields and definition.parser is None:
        try:
            parser, passes = field_rules.parser(definition.fields)
        except element_path.BadPath as error:
            raise InvalidAnalyser(f"'fields' of '{name}' {error}") from None
        definition = msgspec.structs.replace(definition, parser=parser, passes=passes)
    return definition


def _check_selectors(definition: Definition) -> None:
    name = definition.name
    if not (definition.node or definition.namespace or definition.node_type):
        raise InvalidAnalyser(f"'{name}' would match nothing; give 'node', 'namespace' or 'node-type'.")
    for key in ("node", "namespace", "node_type"):
        try:
            check_texts((getattr(definition, key),))
        except InvalidArgs as error:
            raise InvalidAnalyser(f"'{key.replace('_', '-')}' of '{name}': {error.message}") from None
    if definition.exact and not definition.node:
        raise InvalidAnalyser(f"'exact' of '{name}' needs 'node', the whole name of the node.")
    if definition.demand and not definition.to_sync:
        raise InvalidAnalyser(f"'demand' of '{name}' says when to synchronise; give 'to-sync', too.")


def _check_callbacks(definition: Definition) -> None:
    name = definition.name
    if definition.agent and not is_object_path(definition.agent):
        raise InvalidAnalyser(f"'agent' of '{name}' is '{definition.agent}', which is no object path.")
    if definition.callbacks and not definition.agent:
        raise InvalidAnalyser(f"'callbacks' of '{name}' need 'agent', the object that has them.")
    if definition.agent and not definition.callbacks:
        raise InvalidAnalyser(f"'agent' of '{name}' needs 'callbacks': which of 'parse' and 'match' it has.")
    if definition.bus_name and not _BUS_NAME.fullmatch(definition.bus_name):
        raise InvalidAnalyser(f"'bus-name' of '{name}' is '{definition.bus_name}', which is no well-known bus name.")
    if definition.bus_name and not definition.agent:
        raise InvalidAnalyser(f"'bus-name' of '{name}' needs 'agent', the object to call there.")
    for key in ("parser", "match"):
        if (function := getattr(definition, key)) is not None and not callable(function):
            raise InvalidAnalyser(f"'{key}' of '{name}' is {function!r}, which can't be called.")
    if definition.fields and "parse" in definition.callbacks:
        raise InvalidAnalyser(f"'fields' of '{name}' and the callback 'parse' exclude each other; leave out one.")
    if _is_coroutine(definition.match):
        raise InvalidAnalyser(
            f"'match' of '{name}' is a coroutine function, and readers wait for it; make it a function."
        )
    if definition.agent and definition.parser is not None and not definition.fields:
        # Each may be suspended, and the analyser has one state.
        raise InvalidAnalyser(f"'agent' of '{name}' and a parser exclude each other; leave out one.")
    if definition.takes_over and definition.deferred:
        raise InvalidAnalyser(f"'takes_over' of '{name}' needs a function as parser, no coroutine and no agent.")


def _is_coroutine(function: Callable[..., Any] | None) -> bool:
    """Also of an object that is called like one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _fields(given: Any) -> dict[str, Field]:
    """Each by itself, so that what is wrong is named."""
    if isinstance(given, str):
        if len(given) > MOST_JSON:
            raise InvalidAnalyser(f"'fields' has {len(given)} characters; {MOST_JSON} is the most.")
        try:
            given = msgspec.json.decode(given)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidAnalyser(f"'fields' is no JSON object: {error}.") from None
    if not isinstance(given, Mapping):
        raise InvalidAnalyser("'fields' is no object; give one, with the path of each key of the data.")
    fields = {}
    for name, field in given.items():
        try:
            fields[name] = msgspec.convert(field, Field)
        except msgspec.ValidationError as error:
            raise InvalidAnalyser(_told(error, Field, field, f"fields.{name}")) from None
    return fields


def _told(error: msgspec.ValidationError, shape: type, given: object, inside: str) -> str:
    key, reason = explain(error, shape, given)
    return f"'{'.'.join(part for part in (inside, key) if part) or 'analyser'}': {reason}."

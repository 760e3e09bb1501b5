"""All analysers in one place: which one a node has, and whose parser an item gets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import msgspec

from ..errors import Conflict, NotRegistered
from ..records import AnalyserRecord
from . import matching, xml
from .definition import Analysis, Definition, Subject, checked
from .item import Item, ItemContext, Parsed
from .parse import Begun, InHand, finish
from .scrubs import Scrubs

__all__ = ["Definition", "ItemContext", "Matched", "Origin", "Parsed", "Registry", "Subject"]

log = logging.getLogger(__name__)

Origin = Literal["builtin", "plugin", "file", "bus"]
State = Literal["active", "waiting", "suspended", "invalid"]

_HOLDERS: dict[Origin, str] = {
    "builtin": "the daemon itself",
    "plugin": "a plugin",
    "file": "a file",
    "bus": "a client, until somebody unregisters it",
}


class Matched(msgspec.Struct, frozen=True):
    """What the analysers say of a node; ``definition`` is None when none of them matches.

    why: for every analyser, by name, a sentence on what matched or why it did not.
    """

    definition: Definition | None = None
    type: str = ""
    subtype: str = ""
    to_sync: bool = False
    excluded: bool = False
    why: dict[str, str] = {}

    @property
    def analyser(self) -> str:
        """The name of the one that matches, "" for none."""
        return self.definition.name if self.definition is not None else ""

    @property
    def demand(self) -> bool:
        """Whether such nodes are kept only once a client has read them."""
        return self.definition is not None and self.definition.demand


class Entry(msgspec.Struct):
    """A registered name. definition: None for a file that can't be used.

    pending: items that wait to be parsed. failures: time-outs of its agent since it last answered. resumed: how often
    it was active again.
    """

    name: str
    origin: Origin
    owner: str
    definition: Definition | None
    state: State = "active"
    reason: str = ""
    pending: int = 0
    failures: int = 0
    resumed: int = 0


class Registry:
    """Every analyser by name, tried in order: excluded first, then priority, specificity, name.

    on_change: called with a name and whether it is registered now. on_state: with a name whose owner, state,
    reason or failures changed; on_usable: with one that is active again. version: another number whenever an item may
    be parsed in another way.
    """

    def __init__(self) -> None:
        self.version = 0
        self._entries: dict[str, Entry] = {}
        self._takes_over: dict[str, Definition] = {}
        self._deferred: frozenset[str] = frozenset()
        self._scrubs = Scrubs()
        self.on_change: list[Callable[[str, bool], None]] = []
        self.on_state: list[Callable[[str], None]] = []
        self.on_usable: list[Callable[[str], None]] = []

    def register(self, definition: Definition, origin: Origin = "builtin", owner: str = "") -> Definition:
        """Add an analyser; the result has its normalised name.

        owner: of the bus, a unique name, "" for a definition that outlived its client. The same owner replaces
        its own, anybody takes over a name without one.
        Raises InvalidAnalyser, Conflict.
        """
        definition = checked(definition)
        before = self._entries.get(definition.name)
        if before is not None and before.definition is not None and not _may_replace(before, origin, owner):
            # A file may wait for longer than a client stays.
            holder = before.owner if origin == "bus" and before.owner else _HOLDERS[before.origin]
            raise Conflict(f"The analyser '{definition.name}' is taken by {holder}; choose another name.")
        # Until they are counted, what waited for the one before waits for this.
        pending = before.pending if before is not None and definition.deferred else 0
        self._entries[definition.name] = Entry(definition.name, origin, owner, definition, pending=pending)
        self._index()
        self._tell(definition.name, True)
        return definition

    def register_invalid(self, name: str, reason: str, origin: Origin) -> None:
        """List something that can't be used, with the reason; a working analyser of that name stays."""
        name = name.strip().lower()
        before = self._entries.get(name)
        if before is None or before.definition is None:
            self._entries[name] = Entry(name, origin, "", None, "invalid", reason)
            self._tell(name, True)

    def unregister(self, name: str) -> None:
        """Remove an analyser.

        Raises NotRegistered.
        """
        name = name.strip().lower()
        if self._entries.pop(name, None) is None:
            raise NotRegistered(f"There is no analyser '{name}'.")
        self._index()
        self._tell(name, False)

    def get(self, name: str) -> Definition | None:
        """The definition of that name, if it can be used; none of "", the analyser of a node that has none."""
        entry = self._entries.get(name.strip().lower())
        return entry.definition if entry is not None else None

    def entry(self, name: str) -> Entry | None:
        """What is registered under a name, whether or not it can be used; nothing is under ""."""
        return self._entries.get(name.strip().lower())

    def entries(self) -> list[Entry]:
        """Everything that is registered, sorted by name."""
        return [self._entries[name] for name in sorted(self._entries)]

    def definitions(self) -> list[Definition]:
        """Of everything that can be used."""
        return [entry.definition for entry in self._entries.values() if entry.definition is not None]

    def set_state(
        self, name: str, state: State, reason: str = "", *, owner: str | None = None, failures: int = 0
    ) -> None:
        """How an analyser is; one that is not registered any more has no state."""
        entry = self._entries.get(name)
        if entry is None:
            return
        now = (state, reason, entry.owner if owner is None else owner, failures)
        if now != (entry.state, entry.reason, entry.owner, entry.failures):
            is_usable = state == "active" and entry.state != "active"
            entry.state, entry.reason, entry.owner, entry.failures = now
            entry.resumed += is_usable
            for callback in (*self.on_state, *(self.on_usable if is_usable else ())):
                callback(name)

    def records(self) -> list[AnalyserRecord]:
        """A record of each name, sorted."""
        return [_record(entry) for entry in self.entries()]

    def match(self, subject: Subject) -> Matched:
        """What a node is: the first definition that matches, in order."""
        why: dict[str, str] = {}
        ranked: list[tuple[matching.Rank, Definition]] = []
        for entry in self._entries.values():
            if entry.definition is None:
                why[entry.name] = f"It can't be used: {entry.reason}"
                continue
            rank, why[entry.name] = matching.examine(entry.definition, subject)
            if rank is not None:
                ranked.append((rank, entry.definition))
        if not ranked:
            return Matched(why=why)
        ranked.sort(key=lambda pair: pair[0])
        definition = ranked[0][1]
        for _, other in ranked[1:]:
            why[other.name] += f" '{definition.name}' comes before it."
        analysis = self._analyse(definition, subject, why)
        return Matched(
            definition=definition,
            type=analysis.type,
            subtype=analysis.subtype,
            to_sync=analysis.to_sync,
            excluded=definition.excluded,
            why=why,
        )

    def interests(self) -> frozenset[str]:
        """PEP nodes to announce with ``+notify`` (XEP-0163 4.3.1): those kept before anybody asks."""
        return frozenset(
            definition.node
            for definition in self.definitions()
            if definition.node
            and definition.to_sync
            and not definition.demand
            and not definition.excluded
            # A prefix that ends like this is not by itself the name of a node.
            and (definition.exact or not definition.node.endswith(("/", ":", "#")))
        )

    @property
    def hides_by_payload(self) -> bool:
        """Whether a payload alone may say that nothing of a node is stored, shown to everybody, or kept unasked."""
        return any(each.namespace and (each.excluded or each.private or each.asks) for each in self.definitions())

    def parse(self, analyser: str, context: ItemContext) -> Parsed:
        """An item through a parser; never raises. What an agent or a coroutine parses is only made ready for it.

        analyser: a name, "" for a node that has none.
        """
        return finish(self.begin(analyser, context))

    def parser(self, analyser: str, namespace: str) -> str:
        """The name of the analyser whose parser gets such an item of a node that has this one; "" for none."""
        taken = self._takes_over.get(namespace)
        return analyser if taken is None else taken.name

    def may_hang(self, name: str) -> bool:
        """Whether the analyser's parser is a function of a plugin; what is built in, and ``fields``, are bounded."""
        entry = self._entries.get(name)
        if entry is None or entry.origin != "plugin" or entry.definition is None:
            return False
        return entry.definition.parser is not None and name not in self._deferred

    def passes(self, name: str) -> int:
        """How often the analyser's parser goes through an item, about."""
        definition = self.get(name)
        return definition.passes if definition is not None else 1

    def begin(self, analyser: str, context: ItemContext) -> Begun:
        """An item in the hands of its parser, without its secrets; what is stored of it where nothing reads it here."""
        definition = self.get(analyser)
        if not context.payload or (definition is not None and definition.excluded):
            return Parsed(payload=context.payload)
        scrub = self._scrubs.of(definition, context)
        type = subtype = ""
        if (taken := self._takes_over.get(context.namespace)) is not None:
            definition, type, subtype = taken, taken.type, taken.subtype
        elif definition is not None:
            type, subtype = context.type or definition.type, context.subtype or definition.subtype
        deferred = definition is not None and definition.name in self._deferred
        if scrub is None and (definition is None or definition.parser is None):
            return Parsed(payload=context.payload, type=type, subtype=subtype, deferred=deferred)
        try:
            element = xml.parse(context.payload)
        except xml.Malformed as error:
            # What can't be read can't be freed of its secrets either.
            kept = context.payload if scrub is None else ""
            return Parsed(payload=kept, type=type, subtype=subtype, errors=(str(error),))
        item = Item(context, element, type, subtype)
        if scrub is not None and scrub(element):
            item.scrubbed = True
            item.payload = xml.serialise(element)
        return InHand(definition, item, deferred)

    def _analyse(self, definition: Definition, subject: Subject, why: dict[str, str]) -> Analysis:
        analysis = Analysis(definition.type, definition.subtype, definition.to_sync)
        if definition.match is not None:
            try:
                definition.match(subject, analysis)
                msgspec.convert(msgspec.structs.asdict(analysis), Analysis)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                log.warning("the match callable of analyser '%s' failed", definition.name, exc_info=error)
                why[definition.name] += f" Its match callable failed: {error!r}."
                return Analysis(definition.type, definition.subtype, False)
        return analysis

    def _index(self) -> None:
        self.version += 1
        definitions = self.definitions()
        self._takes_over = {space: each for each in definitions for space in each.takes_over}
        self._deferred = frozenset(each.name for each in definitions if each.deferred)
        self._scrubs = Scrubs(definitions)

    def _tell(self, name: str, registered: bool) -> None:
        for callback in tuple(self.on_change):
            callback(name, registered)


def _may_replace(before: Entry, origin: Origin, owner: str) -> bool:
    """Whether a name changes hands: only on the bus, to its owner, or when it has none."""
    return before.origin == "bus" and origin == "bus" and before.owner in ("", owner)


def _record(entry: Entry) -> AnalyserRecord:
    definition = entry.definition
    record: AnalyserRecord = {
        "name": entry.name,
        "origin": entry.origin,
        "owner": entry.owner,
        "state": entry.state,
        "reason": entry.reason,
        "pending": entry.pending,
    }
    if definition is not None:
        record["type"] = definition.type
        record["priority"] = definition.priority
        record["to-sync"] = definition.to_sync
        record["has-parser"] = definition.has_parser
    return record

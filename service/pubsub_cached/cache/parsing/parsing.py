"""From a service's item to what is stored and shown, by the node's analyser."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from ...address import Address
from ...analysers.definition import Definition
from ...analysers.item import ItemContext, Parsed
from ...analysers.registry import Registry, Subject
from ...errors import NotSupported
from ...pace import Pace
from ...records import ItemRecord
from ...store.rows import NodeRow, StoredItem, digest
from ...threads import in_thread
from ...xmpp import payload as xml
from ...xmpp.port import Item
from .function import Functions

# What was made of items, by the state of the registry in which it was.
Made = dict[tuple[int, Item], StoredItem]
# What makes of a node's items what is stored; see ``Parsing.all``.
Parse = Callable[[Sequence[Item]], Awaitable[list[StoredItem]]]

# Where an item of a node that counts only its newest has no id (XEP-0172's example).
CURRENT = "current"

# Characters of a payload from which it is parsed on a thread by whatever analyser; fewer where one goes through it more
# than once. The costliest markup takes half a microsecond for each, most of it in libraries that let others go on
# meanwhile.
LARGE = 16 * 1024


class By(NamedTuple):
    """What decides what is made of a node's items: its analyser, by name and as it is, and what that said it is.

    resumed: how often a function was given items again that had none for a while.
    """

    analyser: str
    definition: Definition | None
    type: str
    subtype: str
    resumed: int = 0

    @property
    def missing(self) -> bool:
        """Whether the analyser has left, as with its client; what it makes of items is made once it is back."""
        return self.analyser != "" and self.definition is None


class Parsing:
    """Parses items by the analyser that a node's row names."""

    def __init__(self, registry: Registry, payload_limit: int, items_per_node: int) -> None:
        self._registry = registry
        self._functions = Functions(registry)
        self._payload_limit = payload_limit
        self._items_per_node = items_per_node

    def by(self, node: NodeRow) -> By:
        """What items of the node are parsed by now; once it is something else, they are to be parsed again."""
        entry = self._registry.entry(node.analyser)
        if entry is None:
            return By(node.analyser, None, node.type, node.subtype)
        resumed = entry.resumed if self._registry.may_hang(entry.name) else 0
        return By(node.analyser, entry.definition, node.type, node.subtype, resumed)

    def kind(self, analyser: str) -> str:
        """The analyser's kind: log, map or last."""
        definition = self._registry.get(analyser)
        return definition.kind if definition is not None else "log"

    def kind_of(self, address: Address, payload: str) -> str:
        """The kind of a node of which nothing is known but a payload in it."""
        definition = self._registry.match(Subject(address, xml.namespace_of(payload))).definition
        return definition.kind if definition is not None else "log"

    def keep(self, analyser: str) -> int | None:
        """How many of the newest items of a node are kept; None for all."""
        return {"map": None, "last": 1}.get(self.kind(analyser), self._items_per_node)

    def on_demand(self, analyser: str) -> bool:
        """Whether nodes of the analyser are kept only once a client has read them."""
        definition = self._registry.get(analyser)
        return definition is not None and definition.demand

    def all_on_demand(self) -> list[str]:
        """The names of the analysers whose nodes are."""
        return [definition.name for definition in self._registry.definitions() if definition.demand]

    async def one(self, address: Address, node: NodeRow | None, item: Item) -> StoredItem:
        """An item as it is stored; a payload beyond the limit is left at the service."""
        analyser, type, subtype = (node.analyser, node.type, node.subtype) if node is not None else ("", "", "")
        # On PEP an item without the attribute is the account's own (XEP-0163 4.1).
        publisher = item.publisher or (address.service if "@" in address.service else "")
        if len(item.payload.encode()) > self._payload_limit:
            return StoredItem(
                id=item.id,
                namespace=item.namespace,
                publisher=publisher,
                errors=(f"The payload is larger than {self._payload_limit} bytes and was not stored.",),
                hash=digest(item.payload, publisher),
            )
        context = ItemContext(address, item.id, item.payload, item.namespace, publisher, type, subtype)
        made = stored(context, await self.parsed(analyser, context))
        return msgspec.structs.replace(made, deferred=True) if node is not None and self.by(node).missing else made

    async def parsed(self, analyser: str, context: ItemContext) -> Parsed:
        """What a parser makes of an item: on a thread where there is much of it, or a plugin's, which may never end."""
        name = self._registry.parser(analyser, context.namespace)
        if len(context.payload) * self._registry.passes(name) < LARGE and not self._registry.may_hang(name):
            return self._registry.parse(analyser, context)
        return await self._functions.parse(name, analyser, context)

    def suspended(self, analyser: str, namespace: str, made: Parsed | StoredItem) -> str | None:
        """Whose parser was to make this of what has this namespace, of this analyser's nodes, if it is suspended."""
        name = self._registry.parser(analyser, namespace)
        if not made.deferred:
            return None
        if name == analyser and self._registry.may_hang(name):
            # By now it may be active again.
            return None if made.errors else name
        entry = self._registry.entry(name)
        return name if entry is not None and entry.state == "suspended" else None

    def resume(self, name: str) -> None:
        """Give a suspended parser items again."""
        self._functions.resume(name)

    async def check_storable(self, address: Address, payload: str) -> None:
        """Whether a payload that a client gives may wait in the store. Raises NotSupported."""
        namespace = xml.namespace_of(payload)
        matched = self._registry.match(Subject(address, namespace))
        if matched.excluded:
            raise NotSupported(
                f"Nothing of '{address.node}' is ever stored, so it can't wait; publish without 'queue'."
            )
        if await self._without_secrets(matched.analyser, ItemContext(address, "", payload, namespace)) != payload:
            raise NotSupported(
                "The payload holds a password, which is never stored, so it can't wait; publish without 'queue'."
            )

    async def _without_secrets(self, analyser: str, context: ItemContext) -> str:
        """What may be stored or shown of a payload; "" of one that can't be freed of its secrets."""
        begin = functools.partial(self._registry.begin, analyser, context)
        begun = begin() if len(context.payload) < LARGE else await in_thread(begin, "payload")
        return begun.payload if isinstance(begun, Parsed) else begun.item.payload

    async def all(self, node: NodeRow, items: Sequence[Item], made: Made | None = None) -> list[StoredItem]:
        """Items as they are stored, oldest first, those without a place to be stored left out.

        made: where it is looked up, and written down, what was made of this node's items before.
        """
        made = {} if made is None else made
        pace = Pace()
        return [await self._made(node.address, node, item, made, pace) for item in self.named(node.analyser, items)]

    async def _made(self, address: Address, node: NodeRow | None, item: Item, made: Made, pace: Pace) -> StoredItem:
        key = self._registry.version, item
        if key not in made:
            made[key] = await self.one(address, node, item)
            await pace.kept()
        return made[key]

    def named(self, analyser: str, items: Sequence[Item]) -> list[Item]:
        """Items with an id, or of a node that counts only its newest and can do without."""
        last = self.kind(analyser) == "last"
        return [
            item if item.id else Item(CURRENT, item.payload, item.namespace, item.publisher)
            for item in items
            if item.id or last
        ]

    async def records(
        self, address: Address, node: NodeRow | None, items: Sequence[Item], made: Made | None = None
    ) -> list[ItemRecord]:
        """Items that are passed through without being stored; made: see ``all``."""
        made = {} if made is None else made
        pace = Pace()
        analyser = node.analyser if node is not None else ""
        records = []
        for item in items:
            stored = await self._made(address, node, item, made, pace)
            # What is too large to be stored is shown all the same.
            payload = stored.payload or await self._without_secrets(
                analyser, ItemContext(address, item.id, item.payload, item.namespace)
            )
            records.append(_record(address, item, stored, payload))
        return records


def _record(address: Address, item: Item, stored: StoredItem, payload: str) -> ItemRecord:
    record: ItemRecord = {"id": item.id, "payload": payload}
    if item.id:
        record["uri"] = address.uri(item.id)
    if stored.data is not None:
        record["data"] = stored.data
    if stored.type:
        record["type"] = stored.type
    if stored.subtype:
        record["subtype"] = stored.subtype
    if stored.errors:
        record["errors"] = list(stored.errors)
    if stored.publisher:
        record["publisher"] = stored.publisher
    if stored.namespace:
        record["namespace"] = stored.namespace
    return record


def stored(context: ItemContext, parsed: Parsed) -> StoredItem:
    """An item and what was made of it, as it is stored."""
    return StoredItem(
        id=context.id,
        payload=parsed.payload,
        namespace=context.namespace,
        publisher=context.publisher,
        data=parsed.data,
        type=parsed.type,
        subtype=parsed.subtype,
        errors=parsed.errors,
        deferred=parsed.deferred,
    )

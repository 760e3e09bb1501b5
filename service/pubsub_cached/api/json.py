"""``im.pubsubcache1.Json``: the reads of ``Cache`` as JSON, in strings or in one descriptor."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import ClassVar

import msgspec

from ..bus import Variant, caller
from ..cache.options import BULK_AT_MOST, BULK_BYTES, NodesFilter, ReadOptions, SearchOptions
from ..cache.reads.pages import Answer, Form, MadeAnswer
from ..documents import document, pieces, record
from ..records import ItemRecord, NodeRecord
from . import cache
from .memfd import Sealed
from .options import Number, Table
from .served import Served
from .waiting import then

ItemsReply = tuple[list[str], str, str]
LinesReply = tuple[int, str, str]
NodesReply = tuple[list[str], str]

_BULK = Number("u", 1, BULK_AT_MOST, capped=True)

READ_ITEMS = Table("ReadItems", {**cache.GET_ITEMS.options, "limit": _BULK}, exclusive=cache.GET_ITEMS.exclusive)
READ_SEARCH = Table("ReadSearch", {**cache.SEARCH.options, "limit": _BULK})


class Json(Served):
    """The same as ``Cache`` for clients without container types, and bulk for all."""

    name: ClassVar[str] = "im.pubsubcache1.Json"
    sandboxed: ClassVar[frozenset[str]] = frozenset(
        {"GetItems", "GetNode", "ListNodes", "Search", "ListAccounts", "ReadItems", "ReadSearch"}
    )
    options: ClassVar[Mapping[str, Table]] = {
        table.method: table for table in (cache.GET_ITEMS, cache.LIST_NODES, cache.SEARCH, READ_ITEMS, READ_SEARCH)
    }

    def GetItems(
        self, account: str, service: str, node: str, options: Mapping[str, Variant]
    ) -> ItemsReply | Awaitable[ItemsReply]:
        wanted = cache.read_options(cache.GET_ITEMS, options)
        address = self.address(account, service, node)
        return then(
            self.seen(address, self.house.reads.get_items(address, wanted)),
            lambda answer: _items_reply((cache.trimmed(answer[0], wanted.fields), *answer[1:])),
        )

    def Search(self, text: str, query: str, options: Mapping[str, Variant]) -> ItemsReply | Awaitable[ItemsReply]:
        wanted = SearchOptions(**cache.SEARCH.read(options), analysers=self.visible)
        return then(self.house.searches.search(text, query, wanted, caller()), _items_reply)

    def ListNodes(self, options: Mapping[str, Variant]) -> NodesReply | Awaitable[NodesReply]:
        wanted = NodesFilter(**cache.LIST_NODES.read(options), analysers=self.visible)
        return then(self.house.node_reads.listing(wanted), _nodes_reply)

    def GetNode(self, account: str, service: str, node: str) -> str | Awaitable[str]:
        address = self.address(account, service, node)
        return then(self.house.node_reads.get(address), record)

    def ListAccounts(self) -> list[str]:
        return [
            record({"jid": account.jid, "state": account.state, "origin": account.origin, "path": account.path})
            for account in self.house.accounts.list()
        ]

    def ReadItems(
        self, account: str, service: str, node: str, options: Mapping[str, Variant]
    ) -> LinesReply | Awaitable[LinesReply]:
        wanted = cache.read_options(READ_ITEMS, options)
        wanted = msgspec.structs.replace(wanted, max_bytes=BULK_BYTES)
        address = self.address(account, service, node)
        return then(self.seen(address, self.house.reads.get_made(address, wanted, LINES)), _kept_lines_reply)

    def ReadSearch(self, text: str, query: str, options: Mapping[str, Variant]) -> LinesReply | Awaitable[LinesReply]:
        wanted = SearchOptions(**READ_SEARCH.read(options), max_bytes=BULK_BYTES, analysers=self.visible)
        return then(self.house.searches.get_made(text, query, wanted, LINES, caller()), _kept_lines_reply)


def _items_reply(answer: Answer) -> ItemsReply:
    items, cursor, info = answer
    return [document(item) for item in items], cursor, record(info)


def _nodes_reply(answer: tuple[list[NodeRecord], str]) -> NodesReply:
    nodes, cursor = answer
    return [record(node) for node in nodes], cursor


def _made_lines(items: list[ItemRecord], options: ReadOptions | SearchOptions) -> Sealed:
    return Sealed(pieces(cache.trimmed(items, options.fields)))


LINES = Form("lines", _made_lines, bulk=True)


def _kept_lines_reply(answer: MadeAnswer) -> LinesReply:
    made, cursor, info = answer
    assert isinstance(made, Sealed)
    return made.open(), cursor, record(info)

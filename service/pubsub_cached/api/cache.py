"""``im.pubsubcache1.Cache``: nodes and items."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from typing import ClassVar

from ..bus import Record, Records, Variant, Written, caller
from ..cache.options import (
    LIMIT_AT_MOST,
    NEWEST_FIRST,
    WINDOW_AT_MOST,
    NodesFilter,
    PurgeFilter,
    ReadOptions,
    SearchOptions,
    ViewOptions,
)
from ..cache.policy import POLICIES
from ..cache.reads.pages import Form, MadeAnswer
from ..cache.reads.shelf import Shelf
from ..records import INFO, ITEM, NODE, ItemRecord, NodeRecord
from ..states import STATES
from . import flags
from .options import CHOSEN, LIMIT, UINT32, UINT64, Fields, Flag, Number, Order, Table, Text, Texts, Token
from .served import Served
from .waiting import then

MadeReply = tuple[Written, str, Record]
NodesReply = tuple[Records, str]
ChangesReply = tuple[list[str], list[str], int, bool]

CHANGES_AT_MOST = 500
TIMEOUT_AT_MOST = 3600


GET_ITEMS = Table(
    "GetItems",
    {
        "limit": LIMIT,
        "ids": Texts(LIMIT_AT_MOST),
        "cursor": Text(),
        "after": Text(),
        "before": Text(),
        "index": Number("u", 0, UINT32),
        "order": Order(("created", "modified", "id"), NEWEST_FIRST),
        "fields": Fields(tuple(ITEM)),
        "policy": Text(POLICIES),
        "timeout": Number("u", 1, TIMEOUT_AT_MOST),
    },
    exclusive=("ids", "cursor", "after", "before", "index"),
)
GET_NODE = Table("GetNode", {})
LIST_NODES = Table(
    "ListNodes",
    {
        "account": Text(),
        "service": Text(),
        "node-prefix": Text(),
        "type": Text(),
        "subtype": Text(),
        "analyser": Text(),
        "state": Text(STATES),
        "subscribed": Flag(),
        "since": Number("t", 0, UINT64),
        "limit": LIMIT,
        "cursor": Text(),
    },
)
GET_CHANGES = Table("GetChanges", {"limit": Number("u", 1, CHANGES_AT_MOST, capped=True)})
SYNC = Table("Sync", {"full": Flag(), "token": Token()})
PURGE = Table("Purge", {**CHOSEN, "forget": Flag()})
RESET = Table("Reset", {"token": Token()})

_FOUND = tuple(key for key in ITEM if key not in ("pending", "index"))
SEARCH = Table("Search", {"limit": LIMIT, "cursor": Text(), "order": Text(), "fields": Fields(_FOUND)})
CREATE_VIEW = Table(
    "CreateView",
    {
        "limit": LIMIT,
        "cursor": Text(),
        "order": Text(),
        "fields": Fields((*_FOUND, "index")),
        "token": Token(),
        "window": Number("u", 1, WINDOW_AT_MOST, capped=True),
        "json": Flag(),
    },
)
EXPORT = Table("Export", {"order": Text(), "fields": Fields(_FOUND), "token": Token()})


class Cache(Served):
    """Reads, local marks, and the jobs that fill and empty the cache."""

    name: ClassVar[str] = "im.pubsubcache1.Cache"
    sandboxed: ClassVar[frozenset[str]] = frozenset(
        {"GetItems", "GetNode", "ListNodes", "GetChanges", "Search", "CreateView"}
    )
    options: ClassVar[Mapping[str, Table]] = {
        table.method: table
        for table in (GET_ITEMS, GET_NODE, LIST_NODES, GET_CHANGES, SEARCH, CREATE_VIEW, SYNC, PURGE, RESET, EXPORT)
    }

    @property
    def Revision(self) -> int:
        return self.house.revision

    def GetItems(
        self, account: str, service: str, node: str, options: Mapping[str, Variant]
    ) -> MadeReply | Awaitable[MadeReply]:
        wanted = read_options(GET_ITEMS, options)
        address = self.address(account, service, node)
        return then(self.seen(address, self.house.reads.get_made(address, wanted, RECORDS)), _made_reply)

    def GetNode(
        self, account: str, service: str, node: str, options: Mapping[str, Variant]
    ) -> Record | Awaitable[Record]:
        GET_NODE.read(options)
        address = self.address(account, service, node)
        return then(self.house.node_reads.get(address), _node_reply)

    def ListNodes(self, options: Mapping[str, Variant]) -> NodesReply | Awaitable[NodesReply]:
        wanted = NodesFilter(**LIST_NODES.read(options), analysers=self.visible)
        return then(self.house.node_reads.listing(wanted), _nodes_reply)

    def GetChanges(
        self, account: str, service: str, node: str, since: int, options: Mapping[str, Variant]
    ) -> ChangesReply | Awaitable[ChangesReply]:
        limit = GET_CHANGES.read(options).get("limit", CHANGES_AT_MOST)
        address = self.address(account, service, node)
        return self.house.node_reads.changes(address, since, limit)

    def Search(self, text: str, query: str, options: Mapping[str, Variant]) -> MadeReply | Awaitable[MadeReply]:
        wanted = SearchOptions(**SEARCH.read(options), analysers=self.visible)
        return then(self.house.searches.get_made(text, query, wanted, RECORDS, caller()), _made_reply)

    async def CreateView(self, text: str, query: str, options: Mapping[str, Variant]) -> str:
        wanted = ViewOptions(**CREATE_VIEW.read(options), analysers=self.visible)
        view = await self.house.views.create(text, query, wanted, caller())
        return view.path

    async def SetFlags(
        self, account: str, service: str, node: str, ids: list[str], add: list[str], remove: list[str]
    ) -> None:
        flags.check(ids, add, remove)
        address = self.address(account, service, node)
        await self.house.node_reads.set_flags(address, ids, add, remove)

    async def Sync(self, account: str, service: str, node: str, options: Mapping[str, Variant]) -> str:
        given = SYNC.read(options)
        address = self.address(account, service, node)
        job = await self.house.sync.start(address, given.get("full", False), caller(), given.get("token", ""))
        return job.path

    def Purge(self, filter: Mapping[str, Variant]) -> str:
        given = PURGE.read(filter)
        token, accounts = given.pop("token", ""), tuple(map(self.house.accounts.meant, given.pop("accounts", ())))
        return self.house.removal.purge(PurgeFilter(accounts, **given), caller(), token).path

    def Reset(self, options: Mapping[str, Variant]) -> str:
        return self.house.removal.reset(caller(), RESET.read(options).get("token", "")).path

    def Export(self, text: str, query: str, options: Mapping[str, Variant], output: int) -> str:
        given = EXPORT.read(options)
        return self.house.exports.start(text, query, output, sender=caller(), **given).path


def read_options(table: Table, options: Mapping[str, Variant]) -> ReadOptions:
    """What GetItems and its like are asked for."""
    given = table.read(options)
    if "ids" in given:
        # All that were asked for: there is no second page of them.
        given.setdefault("limit", LIMIT_AT_MOST)
    return ReadOptions(**given)


def trimmed(items: list[ItemRecord], fields: Collection[str] | None) -> list[ItemRecord]:
    """The cache pages by the id, so it is there even if it was not asked for."""
    if fields is not None and "id" not in fields:
        for item in items:
            item.pop("id", None)
    return items


class WrittenItems(Written):
    """A ``Made`` of ``cache.reads.pages``."""

    has_descriptor = False

    def keep(self, shelf: Shelf) -> bool:
        return True


def _made_records(items: list[ItemRecord], options: ReadOptions | SearchOptions) -> WrittenItems:
    return WrittenItems(trimmed(items, options.fields), ITEM)


RECORDS = Form("records", _made_records)


def _made_reply(answer: MadeAnswer) -> MadeReply:
    made, cursor, info = answer
    assert isinstance(made, WrittenItems)
    return made, cursor, Record(info, INFO)


def _node_reply(node: NodeRecord) -> Record:
    return Record(node, NODE)


def _nodes_reply(answer: tuple[list[NodeRecord], str]) -> NodesReply:
    nodes, cursor = answer
    return Records(nodes, NODE), cursor

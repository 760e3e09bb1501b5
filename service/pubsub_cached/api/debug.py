"""``im.pubsubcache1.Debug``: the daemon looked at from inside, and put in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..bus import Record, Variant, caller
from ..cache.options import SearchOptions
from ..records import STATISTICS
from ..xmpp.port import PRESENCE_PRIORITY
from . import cache
from .options import Table
from .served import Served

EXPLAIN = Table("Explain", {key: cache.SEARCH.options[key] for key in ("limit", "order")})


class Debug(Served):
    """Statistics and maintenance."""

    name: ClassVar[str] = "im.pubsubcache1.Debug"
    options: ClassVar[Mapping[str, Table]] = {EXPLAIN.method: EXPLAIN}

    async def GetStatistics(self) -> Record:
        found = await self.house.upkeep.statistics()
        return Record(found | {"presence-priority": PRESENCE_PRIORITY}, STATISTICS)

    async def Explain(self, text: str, query: str, options: Mapping[str, Variant]) -> str:
        wanted = SearchOptions(**EXPLAIN.read(options))
        return await self.house.searches.explain(text, query, wanted, caller())

    def Check(self) -> str:
        return self.house.upkeep.check(caller()).path

    def Compact(self) -> str:
        return self.house.upkeep.compact(caller()).path

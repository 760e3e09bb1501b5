"""``im.pubsubcache1.Analysers``: what says of a node what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..bus import Variant, variants
from ..records import ANALYSER
from .options import Table
from .served import Served

MATCH = Table("Match", {})


class Analysers(Served):
    """The registry, to look at."""

    name: ClassVar[str] = "im.pubsubcache1.Analysers"
    options: ClassVar[Mapping[str, Table]] = {MATCH.method: MATCH}

    def List(self) -> list[dict[str, Variant]]:
        return [variants(analyser, ANALYSER) for analyser in self.house.analysers.list()]

    async def Match(
        self, account: str, service: str, node: str, options: Mapping[str, Variant]
    ) -> tuple[str, dict[str, Variant]]:
        MATCH.read(options)
        name, why = await self.house.match(self.house.accounts.resolve(account, service, node))
        return name, {key: Variant("s", value) for key, value in why.items()}

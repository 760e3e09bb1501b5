"""``im.pubsubcache1.Analysers``: what says of a node what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..bus import Records, Variant, caller
from ..cache.options import ReanalyseFilter
from ..errors import InvalidArgs, NoSuchNode
from ..object_path import is_object_path
from ..records import ANALYSER
from .analyser import path
from .options import CHOSEN, UINT32, Flag, Number, Table, Text, Texts
from .served import Served


class ObjectPath:
    """An object path; bindings without that type send a string."""

    signature: ClassVar[str] = "o"

    def read(self, key: str, given: Variant) -> str:
        if given.signature not in ("o", "s"):
            raise InvalidArgs(f"The option '{key}' has the type {given.signature}; it has to be an object path (o).")
        if not is_object_path(given.value):
            raise InvalidArgs(f"The option '{key}' is '{given.value}', which is no object path.")
        return str(given.value)


REGISTER = Table(
    "Register",
    {
        "type": Text(),
        "node": Text(),
        "namespace": Text(),
        "node-type": Text(),
        "exact": Flag(),
        "to-sync": Flag(),
        "demand": Flag(),
        "agent": ObjectPath(),
        "callbacks": Texts(),
        "bus-name": Text(),
        "fields": Text(),
        "indexes": Texts(),
        "kind": Text(),
        "private": Flag(),
        "priority": Number("i", -(2**31), 2**31 - 1),
        "persist": Flag(),
        "version": Number("u", 0, UINT32),
    },
)
MATCH = Table("Match", {})
REANALYSE = Table("Reanalyse", CHOSEN)


class Analysers(Served):
    """The registry, to look at and to add to."""

    name: ClassVar[str] = "im.pubsubcache1.Analysers"
    sandboxed: ClassVar[frozenset[str]] = frozenset({"List", "Match"})
    options: ClassVar[Mapping[str, Table]] = {table.method: table for table in (REGISTER, MATCH, REANALYSE)}

    async def Register(self, name: str, analyser: Mapping[str, Variant]) -> str:
        keys: dict[str, Any] = {key.replace("_", "-"): value for key, value in REGISTER.read(analyser).items()}
        return path(await self.house.analysing.register(name, keys, caller()))

    async def Unregister(self, name: str) -> None:
        await self.house.analysing.unregister(name, caller())

    def List(self) -> Records:
        visible = self.visible
        found = self.house.analysers.records()
        return Records([one for one in found if visible is None or one["name"] in visible], ANALYSER)

    async def Match(
        self, account: str, service: str, node: str, options: Mapping[str, Variant]
    ) -> tuple[str, dict[str, Variant]]:
        MATCH.read(options)
        address = self.address(account, service, node)
        name, why = await self.house.analysing.match(address)
        if (shown := self.visible) is not None and name not in shown:
            raise NoSuchNode(f"There is no node {address}.")
        return name, {key: Variant("s", value) for key, value in why.items() if shown is None or key in shown}

    def Reanalyse(self, filter: Mapping[str, Variant]) -> str:
        given = REANALYSE.read(filter)
        token, accounts = given.pop("token", ""), tuple(map(self.house.accounts.meant, given.pop("accounts", ())))
        return self.house.reanalysis.job(ReanalyseFilter(accounts, **given), caller(), token).path

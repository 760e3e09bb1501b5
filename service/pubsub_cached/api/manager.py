"""``im.pubsubcache1.Manager``: the daemon itself and its accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import __version__
from ..bus import Variant
from ..cache.options import AccountOptions
from .options import UINT16, File, Flag, Host, Number, Resource, Table, Text
from .served import Served

if TYPE_CHECKING:
    from ..cache.house import House

CONTRACT = 1
# Passwords are kept in the Secret Service where one runs; Search finds words; clients parse and match.
FEATURES = ("secret-service", "fts", "agents")

ADD_ACCOUNT = Table(
    "AddAccount",
    {
        "host": Host(),
        "port": Number("q", 1, UINT16),
        "tls": Text(("starttls", "direct", "none")),
        "ca-file": File(),
        "resource": Resource(),
        "enabled": Flag(),
    },
)


class Manager(Served):
    """State, version and accounts; its properties can be read before there is a house."""

    name: ClassVar[str] = "im.pubsubcache1.Manager"
    sandboxed: ClassVar[frozenset[str]] = frozenset({"GetAccount", "ListAccounts"})
    options: ClassVar[Mapping[str, Table]] = {ADD_ACCOUNT.method: ADD_ACCOUNT}

    def __init__(self, features: Sequence[str]) -> None:
        """features: what this daemon can do beside that."""
        super().__init__()
        self._more = features

    def open(self, house: House) -> None:
        super().open(house)
        house.on_state.append(self.changed)

    @property
    def Version(self) -> int:
        return CONTRACT

    @property
    def DaemonVersion(self) -> str:
        return __version__

    @property
    def Features(self) -> list[str]:
        return [*FEATURES, *self._more]

    @property
    def State(self) -> str:
        return self._house.state if self._house is not None else "starting"

    async def AddAccount(self, jid: str, options: Mapping[str, Variant]) -> str:
        account = await self.house.accounts.add(jid, AccountOptions(**ADD_ACCOUNT.read(options)))
        return account.path

    def GetAccount(self, jid: str) -> str:
        return self.house.accounts.get(jid).path

    def ListAccounts(self) -> list[str]:
        return [account.path for account in self.house.accounts.list()]

"""``im.pubsubcache1.Account``: an account and its session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ..bus import Interface, Variant
from .options import Flag, Table
from .secret import read as read_secret

if TYPE_CHECKING:
    from ..cache.accounts.account import Account as CachedAccount

REMOVE = Table("Remove", {"keep-cache": Flag()})


class Account(Interface):
    """One account; nothing here ever gives a secret back."""

    name: ClassVar[str] = "im.pubsubcache1.Account"
    options: ClassVar[Mapping[str, Table]] = {REMOVE.method: REMOVE}

    def __init__(self, account: CachedAccount) -> None:
        super().__init__()
        self._account = account

    @property
    def Jid(self) -> str:
        return self._account.jid

    @property
    def Enabled(self) -> bool:
        return self._account.enabled

    async def set_Enabled(self, enabled: bool) -> None:
        await self._account.set_enabled(enabled)

    @property
    def State(self) -> str:
        return self._account.state

    @property
    def Error(self) -> str:
        return self._account.error

    @property
    def ErrorMessage(self) -> str:
        return self._account.error_message

    @property
    def ServerFeatures(self) -> list[str]:
        return [*self._account.session.server_features]

    @property
    def Origin(self) -> str:
        return self._account.origin

    async def Connect(self) -> None:
        await self._account.connect()

    async def Disconnect(self) -> None:
        await self._account.disconnect()

    async def SetPassword(self, secret: int) -> None:
        await self._account.set_password(await read_secret(secret))

    async def Remove(self, options: Mapping[str, Variant]) -> None:
        await self._account.remove(REMOVE.read(options).get("keep_cache", False))

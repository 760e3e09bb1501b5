"""The unit of the cache: a node as one account sees it."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import MutableMapping, MutableSet
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import quote

from . import jid


class Address(NamedTuple):
    """Account (bare JID), service (JID) and node (verbatim), all normalised."""

    account: str
    service: str
    node: str

    @property
    def own(self) -> bool:
        """Whether the service is the account's own PEP service (XEP-0163)."""
        return self.service == self.account

    @property
    def domain(self) -> str:
        """The domain of the service."""
        return jid.domain(self.service)

    def uri(self, item_id: str) -> str:
        """The canonical URI of an item (XEP-0060 12.22, RFC 5122)."""
        return f"xmpp:{quote(self.service, safe='@/')}?;node={quote(self.node, safe='')};item={quote(item_id, safe='')}"

    def key(self, item_id: str) -> str:
        """Names one item among those of all nodes, the same at any time: 16 of A-Z, a-z, 0-9, - and _."""
        said = "\0".join((*self, item_id)).encode(errors="surrogatepass")
        return urlsafe_b64encode(blake2b(said, digest_size=12).digest()).decode()

    def __str__(self) -> str:
        return f"'{self.node}' at {self.service}"


def drop_account(account: str, *known: MutableMapping[Any, Any] | MutableSet[Any]) -> None:
    """Take what is of an account out of what is known by address, or by another key that begins with the account."""
    for each in known:
        for key in [key for key in each if key[0] == account]:
            if isinstance(each, MutableMapping):
                del each[key]
            else:
                each.discard(key)

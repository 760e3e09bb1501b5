"""What a call asks for, after the bus's own checks."""

from __future__ import annotations

import msgspec

from ..config import Tls
from ..store.rows import NEWEST_FIRST as NEWEST_FIRST
from ..store.rows import NodesWanted
from ..store.rows import Order as Order
from .policy import Policy

LIMIT = 50
LIMIT_AT_MOST = 500
# A reply of the bus is at most 1 MiB; the rest is for all but its records, and for what JSON puts before a quote.
REPLY_BYTES = 900_000
# What crosses the bus as a descriptor.
BULK_AT_MOST = 10_000
BULK_BYTES = 64 * 1024 * 1024
# Seconds for which a service is waited for where a caller says nothing: below the bus's own 25.
TIMEOUT = 20.0
# Items of a view that are pushed.
WINDOW = 100
WINDOW_AT_MOST = 500


class ReadOptions(msgspec.Struct, frozen=True):
    """Options of GetItems; of ids, cursor, after, before and index at most one is set.

    order: pairs of key and whether it descends. timeout: seconds. max_bytes: of the records in the answer.
    """

    limit: int = LIMIT
    ids: tuple[str, ...] | None = None
    cursor: str = ""
    after: str | None = None
    before: str | None = None
    index: int | None = None
    order: Order = NEWEST_FIRST
    fields: frozenset[str] | None = None
    policy: Policy = "default"
    timeout: float = TIMEOUT
    max_bytes: int = REPLY_BYTES

    @property
    def newest_first(self) -> bool:
        """Whether the first key is the default one."""
        return self.order[0] == NEWEST_FIRST[0]

    @property
    def oldest_first(self) -> bool:
        """Whether the first key is the default one, the other way round."""
        return self.order[0] == ("modified", False)

    @property
    def by_id(self) -> bool:
        """Whether the first key is the id."""
        return self.order[0][0] == "id"

    @property
    def is_bulk(self) -> bool:
        """Whether the answer may be larger than a reply."""
        return self.max_bytes > REPLY_BYTES


class SearchOptions(msgspec.Struct, frozen=True):
    """Options of Search. order: "" for the best first when there are words, else the newest.

    max_bytes: of the records in the answer. analysers: those whose nodes may be seen, None for all.
    """

    limit: int = LIMIT
    cursor: str = ""
    order: str = ""
    fields: frozenset[str] | None = None
    max_bytes: int = REPLY_BYTES
    analysers: frozenset[str] | None = None


class ViewOptions(msgspec.Struct, frozen=True):
    """Options of CreateView: those of Search, and its own. limit: as window, the smaller counts."""

    limit: int = WINDOW_AT_MOST
    cursor: str = ""
    order: str = ""
    fields: frozenset[str] | None = None
    token: str = ""
    window: int = WINDOW
    json: bool = False
    analysers: frozenset[str] | None = None


class NodesFilter(NodesWanted, frozen=True, kw_only=True):
    """Options of ListNodes. analysers: those whose nodes may be seen, None for all."""

    limit: int = LIMIT
    cursor: str = ""
    analysers: frozenset[str] | None = None


class ReanalyseFilter(msgspec.Struct, frozen=True):
    """What Reanalyse looks at: nodes that fit all given lists, of their items those older than the given times (ms)."""

    accounts: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    subtypes: tuple[str, ...] = ()
    created_before: int | None = None
    modified_before: int | None = None


class PurgeFilter(ReanalyseFilter, frozen=True):
    """What Purge removes. forget: the rows too, with the pin and the daemon's own subscription."""

    forget: bool = False


class AccountOptions(msgspec.Struct, frozen=True):
    """What AddAccount takes beside the JID; host "" and port 0 mean SRV."""

    host: str = ""
    port: int = 0
    tls: Tls = "starttls"
    ca_file: str = ""
    resource: str = ""
    enabled: bool = True

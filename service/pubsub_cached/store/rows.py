"""What the store takes and gives: plain structs, no database in them."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from ..address import Address
from ..records import ItemRecord
from .given import Given

Order = tuple[tuple[str, bool], ...]
Position = tuple[int | str, ...]

NEWEST_FIRST: Order = (("modified", True),)

KEPT = frozenset({"syncing", "live", "polled", "stale", "unreachable"})
"""States of nodes that are kept; where there is a copy of one, it may be shown."""

LET_GO = frozenset({"discovered", "excluded"})
"""States of nodes that the daemon knows, and that nobody keeps."""

DISCARDED = "discarded"
"""The state of nodes that are no more, whose items are yet to be dropped; and the origin of the account they are in."""

UNPROVED = "unproved"
"""The reason of a node of which nothing is shown until the service has let the account read it again."""


class AccountRow(msgspec.Struct, frozen=True):
    """An account; ``id`` 0 before it is stored. origin: "bus" or "config". port: 0 for SRV."""

    id: int
    jid: str
    origin: str = "bus"
    enabled: bool = True
    host: str = ""
    port: int = 0
    tls: str = "starttls"
    ca_file: str = ""
    resource: str = ""


class NodeRow(msgspec.Struct, frozen=True, gc=False):
    """A node as one account sees it; ``id`` 0 of one that is not stored. Text is "" when unknown, times are
    milliseconds since the epoch.

    floor: changes after an older revision can't be told completely any more. declined: a client gave
    the subscription up, so the daemon makes none by itself. whole_at: when all of it was fetched, None when what is
    stored may be wrong by more than what was published or removed since. described_at: when its metadata was read.
    item_expire: seconds after which the service may remove an item, None for never. notifies: it tells of what is
    published, as far as its metadata says (pubsub#deliver_notifications).
    """

    id: int
    account_id: int
    address: Address
    state: str = "unknown"
    reason: str = ""
    completeness: str = "none"
    guarantee: str = ""
    type: str = ""
    subtype: str = ""
    analyser: str = ""
    analyser_version: int = 0
    title: str = ""
    description: str = ""
    access_model: str = ""
    node_type: str = ""
    namespace: str = ""
    max_items: int | None = None
    subscribed: bool = False
    own_subscription: bool = False
    subid: str = ""
    pinned: bool = False
    redirect: str = ""
    validated_at: int | None = None
    last_sync: int | None = None
    next_sync: int | None = None
    last_read: int | None = None
    failures: int = 0
    gone_at: int | None = None
    item_count: int = 0
    floor: int = 0
    revision: int = 0
    declined: bool = False
    whole_at: int | None = None
    described_at: int | None = None
    item_expire: int | None = None
    notifies: bool = True


class StoredItem(msgspec.Struct, frozen=True):
    """An item to write.

    payload: XML, or "" when the content is unknown: it then never replaces what is stored.
    data: the parser's JSON object as text, or None. hash: the ``digest`` of its content, "" while that is unknown.
    It is given for content too large to keep: with it an empty payload does replace what is stored, for that is out of
    date.
    deferred: it is parsed later, or was not to the end, so what was made of the same content stays.
    """

    id: str
    payload: str = ""
    namespace: str = ""
    publisher: str = ""
    data: str | None = None
    type: str = ""
    subtype: str = ""
    errors: tuple[str, ...] = ()
    hash: str = ""
    deferred: bool = False

    def __post_init__(self) -> None:
        # What a service has is compared in one go, while nothing else may happen; items are made in turns.
        if self.payload:
            msgspec.structs.force_setattr(self, "hash", digest(self.payload, self.publisher))


class Delta(msgspec.Struct, frozen=True):
    """What a write changed, in the order of the revisions given; ``revision`` is the highest one, 0 for none."""

    changed: list[str] = msgspec.field(default_factory=list)
    removed: list[str] = msgspec.field(default_factory=list)
    revision: int = 0

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


class ItemsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which items of a node to read; of ids, after, before, index and position at most one place to start.

    order: (``created``, ``modified`` or ``id``; descending?). Each key is unique within a node, so
    the first one decides. ids: only these, those that are missing left out (may go with position).
    after, before: item ids, in that order; before "" is the last page. given: what has to be all that stands before the
    slice, with ``after``. position: what an ``ItemsSlice`` gave, for the same order; last: its last item, if there were
    others after it; since: the revision then. fields: the keys wanted, None for all.
    max_bytes: the slice ends before its records would pass this, but holds one item at least; 0 for no limit.
    """

    limit: int = 50
    order: Order = NEWEST_FIRST
    ids: tuple[str, ...] | None = None
    after: str | None = None
    before: str | None = None
    index: int | None = None
    position: Position | None = None
    last: str = ""
    since: int = 0
    given: Given | None = None
    fields: frozenset[str] | None = None
    max_bytes: int = 0


class ItemsSlice(msgspec.Struct):
    """Ready records in order.

    index: of the first one in the node, None when they are not consecutive or it is too far in to count.
    position: where the order goes on after the last one, None at the end. first, last: their ids, "" when empty.
    place: of the last one, None when empty.
    """

    items: list[ItemRecord]
    index: int | None = None
    position: Position | None = None
    first: str = ""
    last: str = ""
    place: Position | None = None


class NodesWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which nodes; None is no constraint. since: only nodes with a later revision."""

    account: str | None = None
    service: str | None = None
    node_prefix: str | None = None
    type: str | None = None
    subtype: str | None = None
    analyser: str | None = None
    state: str | None = None
    subscribed: bool | None = None
    since: int | None = None


class NodesQuery(NodesWanted, frozen=True, kw_only=True):
    """Which nodes to list. analysers: only nodes of these, None for all. doubtful: those of any state.

    run: only those of accounts that are run, else of all that the daemon has (``whose``).
    """

    limit: int = 500
    analysers: frozenset[str] | None = None
    doubtful: frozenset[Address] = frozenset()
    after_id: int = 0
    run: bool = False


def digest(payload: str, publisher: str) -> str:
    """Tells contents of items apart: 16 bytes of BLAKE2b over payload and publisher, in hexadecimal."""
    return blake2b(f"{publisher}\0{payload}".encode(errors="surrogatepass"), digest_size=16).hexdigest()

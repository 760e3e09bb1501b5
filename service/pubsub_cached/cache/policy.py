"""What a read may be answered with: the serving table, as a pure function.

Source: the coherence model, "Serving". Nothing here touches a database or a stream.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal, Protocol

from ..store.rows import KEPT, NodeRow

# ``validated`` is what ``refresh`` becomes once the service was asked, whatever came of it; no client can name it.
Policy = Literal["default", "cache", "refresh", "network", "validated"]
POLICIES: tuple[Policy, ...] = ("default", "cache", "refresh", "network")

Freshness = Literal["live", "validated", "offline", "stale"]

# A live node validated this recently (ms) is not probed again by policy ``refresh``.
RECENT_MS = 60_000


class Decision(Enum):
    """How a read is answered."""

    CACHE = "from the cache"
    FLAGGED = "from the cache, validated in the background"
    VALIDATE = "validated first, then from the cache"
    SERVICE = "by the service"
    NOT_CACHED = "not at all: no copy"
    OFFLINE = "not at all: no session"
    ERROR = "not at all: denied or gone"
    RETRY = "by the service, unless its negative answer is still fresh"
    PROVE = "from the cache, once the service has shown that the account may still read the node"


class Known(Protocol):
    """What is known of a node, or of several that are in the same state."""

    @property
    def state(self) -> str: ...
    @property
    def validated_at(self) -> int | None: ...
    @property
    def next_sync(self) -> int | None: ...


def servable(node: NodeRow | None) -> bool:
    """Whether the database holds a copy that some policy may show."""
    return node is not None and node.state in KEPT and node.completeness != "none"


def expired(node: Known, now: int) -> bool:
    """Whether a polled node's time to live is over; a clock that was set back tells nothing about it."""
    set_back = node.validated_at is not None and node.validated_at > now
    return node.next_sync is None or node.next_sync <= now or set_back


def freshness(node: Known, online: bool, now: int) -> Freshness:
    """What an answer from the cache says of itself."""
    if not online:
        return "offline"
    if node.state == "live":
        return "live"
    if node.state == "polled" and not expired(node, now):
        return "validated"
    return "stale"


def decide(node: NodeRow | None, policy: Policy, online: bool, now: int) -> Decision:
    """The cell of the serving table for this node and policy."""
    if policy == "network":
        return Decision.SERVICE if online else Decision.OFFLINE
    if node is not None and node.state in ("denied", "gone"):
        return Decision.ERROR if not online or policy in ("cache", "validated") else _denied(policy)
    if node is None or not servable(node):
        return _without_copy(policy, online)
    if not online:
        return Decision.CACHE
    return _with_copy(node, policy, now)


def _denied(policy: Policy) -> Decision:
    return Decision.RETRY if policy == "default" else Decision.SERVICE


def _without_copy(policy: Policy, online: bool) -> Decision:
    if policy == "cache":
        return Decision.NOT_CACHED
    return Decision.SERVICE if online else Decision.OFFLINE


def _with_copy(node: NodeRow, policy: Policy, now: int) -> Decision:
    if policy in ("cache", "validated"):
        return Decision.CACHE
    if node.state == "live":
        recent = node.validated_at is not None and 0 <= now - node.validated_at < RECENT_MS
        return Decision.CACHE if policy == "default" or recent else Decision.VALIDATE
    if node.state == "polled" and not expired(node, now):
        return Decision.CACHE if policy == "default" else Decision.VALIDATE
    if node.state == "unreachable":
        # Nothing can be asked; that it is stale the answer says itself.
        return Decision.CACHE
    return Decision.FLAGGED if policy == "default" else Decision.VALIDATE

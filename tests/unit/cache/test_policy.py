"""The serving table, cell by cell (coherence.md, "Serving")."""

from __future__ import annotations

import msgspec
import pytest

from pubsub_cached.address import Address
from pubsub_cached.cache.policy import RECENT_MS, Decision, Freshness, Policy, decide, freshness
from pubsub_cached.store.rows import NodeRow

NOW = 1_000_000_000

CACHE, FLAGGED, VALIDATE = Decision.CACHE, Decision.FLAGGED, Decision.VALIDATE
SERVICE, NOT_CACHED, OFFLINE = Decision.SERVICE, Decision.NOT_CACHED, Decision.OFFLINE
ERROR, RETRY = Decision.ERROR, Decision.RETRY


def node(state: str, completeness: str = "full", **columns: object) -> NodeRow:
    blank = {
        field.name: {"int": 0, "bool": False, "str": ""}.get(str(field.type))
        for field in msgspec.structs.fields(NodeRow)
    }
    return NodeRow(
        **blank
        | {"address": Address("a@example.org", "pubsub.example.org", "blog"), "failures": 0}
        | {"state": state, "completeness": completeness}
        | columns  # type: ignore[arg-type]
    )


LIVE = node("live", validated_at=NOW - RECENT_MS)
JUST_VALIDATED = node("live", validated_at=NOW - RECENT_MS + 1)
POLLED = node("polled", next_sync=NOW + 1)
EXPIRED = node("polled", next_sync=NOW)

# state of the node: cache, default, refresh, network, and default without a session
TABLE = {
    "no row": (None, NOT_CACHED, SERVICE, SERVICE, SERVICE, OFFLINE),
    "unknown": (node("unknown", "none"), NOT_CACHED, SERVICE, SERVICE, SERVICE, OFFLINE),
    "discovered": (node("discovered", "none"), NOT_CACHED, SERVICE, SERVICE, SERVICE, OFFLINE),
    "first syncing": (node("syncing", "none"), NOT_CACHED, SERVICE, SERVICE, SERVICE, OFFLINE),
    "first synchronisation failed": (node("stale", "none"), NOT_CACHED, SERVICE, SERVICE, SERVICE, OFFLINE),
    "live": (LIVE, CACHE, CACHE, VALIDATE, SERVICE, CACHE),
    "live, just validated": (JUST_VALIDATED, CACHE, CACHE, CACHE, SERVICE, CACHE),
    "later syncing": (node("syncing", "window"), CACHE, FLAGGED, VALIDATE, SERVICE, CACHE),
    "polled within its ttl": (POLLED, CACHE, CACHE, VALIDATE, SERVICE, CACHE),
    "polled, expired": (EXPIRED, CACHE, FLAGGED, VALIDATE, SERVICE, CACHE),
    "stale": (node("stale"), CACHE, FLAGGED, VALIDATE, SERVICE, CACHE),
    "unreachable": (node("unreachable"), CACHE, CACHE, CACHE, SERVICE, CACHE),
    "denied": (node("denied"), ERROR, RETRY, SERVICE, SERVICE, ERROR),
    "gone": (node("gone", "none"), ERROR, RETRY, SERVICE, SERVICE, ERROR),
    "excluded": (node("excluded", "none"), NOT_CACHED, SERVICE, SERVICE, SERVICE, OFFLINE),
}
CELLS = [
    pytest.param(row[0], policy, expected, id=f"{name}, {policy}")
    for name, row in TABLE.items()
    for policy, expected in zip(("cache", "default", "refresh", "network"), row[1:5], strict=True)
]


@pytest.mark.parametrize(("row", "policy", "expected"), CELLS)
def test_a_read_with_a_session_is_answered_as_the_table_says(
    row: NodeRow | None, policy: Policy, expected: Decision
) -> None:
    assert decide(row, policy, True, NOW) is expected


@pytest.mark.parametrize("policy", ["default", "refresh"])
@pytest.mark.parametrize("name", TABLE)
def test_a_read_without_a_session_is_answered_as_the_table_says(name: str, policy: Policy) -> None:
    assert decide(TABLE[name][0], policy, False, NOW) is TABLE[name][5]


@pytest.mark.parametrize("name", TABLE)
def test_policy_network_without_a_session_is_always_offline(name: str) -> None:
    assert decide(TABLE[name][0], "network", False, NOW) is OFFLINE


@pytest.mark.parametrize("name", TABLE)
def test_policy_cache_never_asks_the_service(name: str) -> None:
    assert decide(TABLE[name][0], "cache", False, NOW) in (CACHE, NOT_CACHED, ERROR)
    assert decide(TABLE[name][0], "cache", True, NOW) in (CACHE, NOT_CACHED, ERROR)


@pytest.mark.parametrize("name", TABLE)
def test_a_read_that_was_validated_is_not_validated_again(name: str) -> None:
    assert decide(TABLE[name][0], "validated", True, NOW) in (CACHE, SERVICE, ERROR)


@pytest.mark.parametrize(
    ("row", "online", "expected"),
    [
        (LIVE, True, "live"),
        (LIVE, False, "offline"),
        (POLLED, True, "validated"),
        (EXPIRED, True, "stale"),
        (node("stale"), True, "stale"),
        (node("stale"), False, "offline"),
        (node("unreachable"), True, "stale"),
    ],
)
def test_an_answer_from_the_cache_says_how_fresh_it_is(row: NodeRow, online: bool, expected: Freshness) -> None:
    assert freshness(row, online, NOW) == expected

"""The records of the contract: what a reply holds, with the D-Bus type of each key.

A record is a plain dict; a key that is absent is unknown.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict, get_type_hints

S = Annotated[str, "s"]
B = Annotated[bool, "b"]
I = Annotated[int, "i"]  # noqa: E741
U = Annotated[int, "u"]
T = Annotated[int, "t"]
X = Annotated[int, "x"]
O = Annotated[str, "o"]  # noqa: E741
AS = Annotated[list[str], "as"]

ItemRecord = TypedDict(  # noqa: UP013 - as its neighbours, whose keys are no Python names
    "ItemRecord",
    {
        "id": S,
        "payload": S,
        "data": S,
        "type": S,
        "subtype": S,
        "errors": AS,
        "publisher": S,
        "created": X,
        "modified": X,
        "namespace": S,
        "flags": AS,
        "pending": B,
        "revision": T,
        "uri": S,
        "key": S,
        "account": S,
        "service": S,
        "node": S,
        "snippet": S,
        "index": U,
    },
    total=False,
)

NodeRecord = TypedDict(
    "NodeRecord",
    {
        "account": S,
        "service": S,
        "node": S,
        "title": S,
        "description": S,
        "access-model": S,
        "type": S,
        "subtype": S,
        "analyser": S,
        "state": S,
        "reason": S,
        "completeness": S,
        "guarantee": S,
        "subscribed": B,
        "pinned": B,
        "items": T,
        "unread": T,
        "last-sync": X,
        "next-sync": X,
        "revision": T,
        "max-items": T,
        "redirect": S,
    },
    total=False,
)

InfoRecord = TypedDict(
    "InfoRecord",
    {
        "source": S,
        "freshness": S,
        "validated-at": X,
        "completeness": S,
        "revision": T,
        "total": T,
        "first": S,
        "last": S,
        "index": U,
        "job": O,
        "ranked": T,
    },
    total=False,
)

AnalyserRecord = TypedDict(
    "AnalyserRecord",
    {
        "name": S,
        "type": S,
        "origin": S,
        "owner": S,
        "state": S,
        "reason": S,
        "priority": I,
        "to-sync": B,
        "has-parser": B,
        "pending": T,
    },
    total=False,
)


class SubscriptionRecord(TypedDict, total=False):
    """A subscription of the account."""

    node: S
    jid: S
    state: S
    subid: S


class AffiliationRecord(TypedDict, total=False):
    """What the account is to a node."""

    node: S
    affiliation: S


class DiscoveredRecord(TypedDict, total=False):
    """Something that a service lists."""

    jid: S
    node: S
    name: S


StatisticsRecord = TypedDict(
    "StatisticsRecord",
    {
        "accounts": T,
        "nodes": T,
        "items": T,
        "tombstones": T,
        "flags": T,
        "bytes": T,
        "free": T,
        "revision": T,
        "newest": X,
        "started": X,
        "jobs": U,
        "recovered-from": S,
        "presence-priority": I,
    },
    total=False,
)


def signatures(record: Any) -> dict[str, str]:
    """The D-Bus type of each key of a record class above."""
    hints = get_type_hints(record, include_extras=True)
    return {key: hint.__metadata__[0] for key, hint in hints.items()}


ITEM = signatures(ItemRecord)
NODE = signatures(NodeRecord)
INFO = signatures(InfoRecord)
ANALYSER = signatures(AnalyserRecord)
STATISTICS = signatures(StatisticsRecord)
SUBSCRIPTION = signatures(SubscriptionRecord)
AFFILIATION = signatures(AffiliationRecord)
DISCOVERED = signatures(DiscoveredRecord)

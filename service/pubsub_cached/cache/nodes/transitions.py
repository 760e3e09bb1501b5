"""A node's moves from state to state, each chosen in the transaction that writes it; on the writer's thread.

Refusals, failures and doubts come of one node by several ways at once, and none may undo what another has written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ...address import Address
from ...analysers.registry import Matched, Subject
from ...store.accounts import nodes as node_store
from ...store.accounts import subscriptions
from ...store.items import items as item_store
from ...store.rows import KEPT, LET_GO, UNPROVED, Delta, NodeRow
from ...store.store import Transaction
from . import metadata

Columns = dict[str, Any]
# Of a row the columns that are to change, or None.
Choose = Callable[[NodeRow], Columns | None]
# A row before, None for one that was made, and after; None for no change.
Written = tuple[NodeRow | None, NodeRow] | None

# Of nodes that the account is subscribed to no more, of those of which nothing is ever stored, and of those that
# nobody keeps: from now on the service is asked.
UNSUBSCRIBED: Columns = {"subscribed": False, "own_subscription": False, "subid": ""}
EXCLUDED: Columns = {"state": "excluded", "reason": "policy", "pinned": False, "next_sync": None}
DISCOVERED: Columns = {"state": "discovered", "reason": "", "next_sync": None}


def subject(node: NodeRow, namespace: str = "") -> Subject:
    """What is stored of a node that an analyser looks at; namespace: of a payload of which it is not stored yet."""
    namespace = namespace or node.namespace
    return Subject(node.address, namespace or None, node.node_type or None, metadata.stored(node))


def still(node: NodeRow, reason: str) -> str:
    """A reason, unless the node has one that only a successful read may take away."""
    return UNPROVED if node.reason == UNPROVED else reason


def untold(node: NodeRow, next_sync: int) -> Columns:
    """What becomes of a node whose subscription has ended: nothing is told of it any more."""
    return {"state": "stale", "reason": "subscription", "next_sync": next_sync} if node.state == "live" else {}


def is_followed_in_vain(node: NodeRow) -> bool:
    """Whether nobody keeps the node, and the daemon has a subscription that it made."""
    return node.own_subscription and node.state in LET_GO


def asks(matched: Matched) -> bool:
    """Whether an agent decides what becomes of the node."""
    return matched.definition is not None and matched.definition.asks


def analysis(node: NodeRow, matched: Matched, asked: bool) -> Columns:
    """What an analyser says of a node. asked: its agent is asked next, and what that said before counts until then."""
    if asked and matched.analyser == node.analyser:
        return {}
    return {"analyser": matched.analyser, "type": matched.type, "subtype": matched.subtype}


def unwritten(address: Address, matched: Matched, columns: Columns) -> NodeRow:
    """What a node is whose row could not be written."""
    unknown = NodeRow(0, 0, address)
    return msgspec.structs.replace(unknown, **columns, **analysis(unknown, matched, asked=False))


def classify(
    tx: Transaction,
    address: Address,
    matched: Matched,
    asked: bool,
    registered: Callable[[str], bool],
    columns: Columns,
    *,
    proved: bool,
    known: bool,
) -> tuple[NodeRow | None, NodeRow]:
    """The row before, None for a node that is new, and after.

    proved: neither a refusal nor the node's end came after what it was read by. known: there was a row before. Raises
    NoSuchNode.
    """
    # Whoever gave them may go on with them where nothing comes of this.
    columns = dict(columns)
    before = node_store.find(tx.connection, address)
    node = node_store.must(before) if known else before or node_store.ensure(tx, address)
    definition = matched.definition
    # Its analyser may come back.
    waits = definition is None and node.analyser != "" and not registered(node.analyser)
    if not waits:
        columns |= analysis(node, matched, asks(matched)) | {"analyser_version": _version(node, matched)}
    kept = node.pinned or _kept(node, matched, asked, waits)
    stands = proved or node.state not in ("denied", "gone")
    if matched.excluded:
        item_store.drop(tx, node.id)
        columns |= EXCLUDED
    elif not kept and (node.state in KEPT or node.completeness != "none"):
        item_store.drop(tx, node.id)
        columns |= DISCOVERED | {"gone_at": None} if stands else {}
    elif stands:
        columns |= _read(node, kept)
    return before, node_store.update(tx, node.id, **columns)


def _read(node: NodeRow, kept: bool) -> Columns:
    """Where a node goes that the service has let the account read."""
    if node.completeness != "none":
        # What was hidden may be shown again once it is validated.
        return {"state": "stale", "reason": "access", "gone_at": None} if node.state == "denied" else {}
    if node.state in ("syncing", "stale", "unreachable"):
        return {}
    return {"state": "syncing" if kept else "discovered", "reason": "", "redirect": "", "gone_at": None}


def _version(node: NodeRow, matched: Matched) -> int:
    """By which version of its analyser what is stored of a node was parsed; 0 where that is yet to be done."""
    definition = matched.definition
    if definition is None or not node.item_count:
        return definition.version if definition is not None else 0
    return node.analyser_version if node.analyser == definition.name else 0


def _kept(node: NodeRow, matched: Matched, asked: bool, waits: bool) -> bool:
    """Whether an analyser wants the node; one that was kept stays so while an agent has to be asked, or is awaited."""
    already = node.state in KEPT
    if waits or asks(matched):
        # Nobody who reads waits for an agent: the node is not kept until it has said so.
        return already
    return matched.to_sync and (asked or already or not matched.demand)


def update(tx: Transaction, node_id: int, columns: Columns) -> tuple[NodeRow, NodeRow]:
    before = node_store.must(node_store.by_id(tx.connection, node_id))
    return before, node_store.update(tx, node_id, **columns)


def decide(tx: Transaction, address: Address, choose: Choose) -> Written:
    before = node_store.find(tx.connection, address)
    columns = choose(before) if before is not None else None
    if before is None or columns is None:
        return None
    return before, node_store.update(tx, before.id, **columns)


def deny(tx: Transaction, address: Address, reason: str, private: Callable[[str], bool], now: int) -> Written:
    """What nobody else may see is erased at once; all other items are kept for the grace."""
    node = node_store.find(tx.connection, address)
    if node is None or (node.state, node.reason) == ("denied", reason):
        return None
    if private(node.analyser):
        item_store.drop(tx, node.id)
    # Another word for the same refusal does not prolong the grace.
    since = node.gone_at if node.state == "denied" and node.gone_at is not None else now
    row = node_store.update(tx, node.id, state="denied", reason=reason, subscribed=False, gone_at=since, next_sync=None)
    return node, row


def leave(tx: Transaction, made: NodeRow) -> None:
    """The daemon has subscribed to a node whose row went meanwhile, and which may have another by now."""
    row = node_store.find(tx.connection, made.address)
    if row is None:
        subscriptions.leave(tx, made)
    elif not row.subscribed:
        node_store.update(tx, row.id, **subscriptions.made(made.subid))


def given_up(tx: Transaction, address: Address) -> Written:
    """The daemon's own subscription has ended, unless the node is kept again, and with that subscribed to anew."""
    subscriptions.ended(tx, address)
    return decide(tx, address, lambda row: UNSUBSCRIBED if is_followed_in_vain(row) else None)


def shown_again(node: NodeRow) -> Columns | None:
    return {"reason": "configuration"} if node.reason == UNPROVED else None


def all_parsed(node: NodeRow, version: int) -> Choose:
    """A version has parsed all of a node; what it became meanwhile, and what was asked for meanwhile, is yet to be."""
    by = _parsed_by(node)
    return lambda row: {"analyser_version": version} if _parsed_by(row) == by else None


def _parsed_by(node: NodeRow) -> tuple[int, str, str, str, int]:
    return node.id, node.analyser, node.type, node.subtype, node.analyser_version


def gone(tx: Transaction, address: Address, redirect: str, now: int) -> tuple[Delta, Written]:
    """Erase what is stored. Who finds a node absent that was deleted knows of no redirect, and takes none away."""
    node = node_store.find(tx.connection, address)
    if node is None or (node.state == "gone" and redirect in ("", node.redirect)):
        return Delta(), None
    delta = item_store.erase(tx, node.id)
    row = node_store.update(
        tx,
        node.id,
        state="gone",
        reason="deleted",
        redirect=redirect,
        completeness="none",
        gone_at=now,
        next_sync=None,
        **UNSUBSCRIBED,
    )
    return delta, (node, row)

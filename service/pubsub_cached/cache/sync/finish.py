"""The end of a round: what was found beside what is stored, and the transaction that writes it."""

from __future__ import annotations

from typing import Any

from ...store.accounts import nodes as node_store
from ...store.items import items as item_store
from ...store.items.outline import Outline, confirm
from ...store.rows import KEPT, Delta, NodeRow
from ...store.transaction import Transaction
from ..nodes.item_expire import hasten
from .rungs import Found


def as_it_was(before: Outline, found: Found) -> bool:
    """Whether what was found is what was stored, in the same order."""
    kept = len(found.older)
    older = [line.id for line in before.lines[:kept]]
    newest = [(line.id, line.hash) for line in before.lines[kept:]]
    return older == [*found.older] and newest == [(item.id, item.hash) for item in found.newest]


def finish(
    tx: Transaction,
    node_id: int,
    touched: frozenset[str],
    *,
    found: Found | None,
    columns: dict[str, Any],
    keep: int | None,
    moves: bool | None,
    later: frozenset[str],
) -> tuple[Delta, NodeRow] | None:
    """None for a node that was denied or went while it was fetched: a refusal outranks what came before it.

    found: None where nothing is to be written but the columns. moves: whether the service has what is published again
    as its newest, None where that is not known. later: see ``replace``.
    """
    before = node_store.must(node_store.by_id(tx.connection, node_id))
    if before.state not in KEPT:
        return None
    if found is None:
        delta = Delta()
    elif found.full is None:
        delta = confirm(tx, node_id, found.older, found.newest, kept=touched)
    else:
        # What is older than all that the service showed was compared with nothing.
        most = None if found.full else len(found.newest) if keep is None else min(keep, len(found.newest))
        delta = item_store.replace(
            tx,
            node_id,
            found.newest,
            kept=touched,
            later=later,
            there=found.there,
            full=found.full,
            moves=moves,
            keep=most,
        )
    row = node_store.update(tx, node_id, **columns)
    if keep is not None and row.item_count > keep:
        # Events that came while the newest were fetched.
        item_store.evict(tx, node_id, keep)
        row = node_store.update(tx, node_id)
    return delta, hasten(tx, row)

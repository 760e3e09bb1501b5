"""What services remove without a word once it is as old as the node's configuration says.

It is never presumed: how old an item is that was fetched nobody tells, one that is published again begins anew, and
ejabberd leaves what is too old until its administrator has it removed. So a node whose items expire is at best polled,
though events are applied as they come, and its time to live ends at the latest when an item has to be gone. The answer
of the service is what removes it. Source: the coherence model, "What the protocol forces"; XEP-0060 16.4.4
(pubsub#item_expire).
"""

from __future__ import annotations

from ...store.accounts import nodes as node_store
from ...store.accounts import schedule
from ...store.rows import NodeRow
from ...store.store import Transaction


def hasten(tx: Transaction, node: NodeRow) -> NodeRow:
    """Have a polled node compared again when the next of its items has to be gone, if that is sooner."""
    if node.item_expire is None or node.state != "polled" or node.next_sync is None or node.validated_at is None:
        return node
    # What was there when it was too old already is looked for as often as a node is polled.
    at = schedule.next_expiry(tx.connection, node, node.validated_at)
    return node if at is None or node.next_sync <= at else node_store.update(tx, node.id, next_sync=at)


def seconds(value: str) -> int | None:
    """A value of pubsub#item_expire; None for ``max``, nothing and whatever is no number of seconds."""
    # No more digits than the database can carry as milliseconds.
    return (int(value) or None) if value.isdecimal() and len(value) < 16 else None

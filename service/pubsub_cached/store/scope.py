"""Which nodes a search goes through: those that its query names, as far as their items may be shown."""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, Connection, false, func, or_, select

from .models import Account, Node
from .query import Query

Truth = ColumnElement[bool]


class Part(msgspec.Struct, frozen=True):
    """Nodes of one account that are in the same state.

    validated_at: when the first of them was last known to be right, None when that is not known of all.
    next_sync: when the first of them is due, None when one of them always is.
    """

    account: str
    state: str
    completeness: str
    nodes: int
    items: int
    validated_at: int | None
    next_sync: int | None


def parts(conn: Connection, query: Query, states: tuple[str, ...]) -> list[Part]:
    """All the nodes of the scope."""
    found = conn.execute(
        select(
            Account.jid,
            Node.state,
            Node.completeness,
            func.count(),
            func.sum(Node.item_count),
            func.min(Node.validated_at),
            func.count(Node.validated_at),
            func.min(Node.next_sync),
            func.count(Node.next_sync),
        )
        .join(Account, Account.id == Node.account_id)
        .where(*shown(states), *named(query))
        .group_by(Account.jid, Node.state, Node.completeness)
    )
    return [
        Part(
            account,
            state,
            completeness,
            nodes,
            int(items),
            validated if knowing == nodes else None,
            due if dated == nodes else None,
        )
        for account, state, completeness, nodes, items, validated, knowing, due, dated in found
    ]


def ids(conn: Connection, query: Query, states: tuple[str, ...], most: int) -> list[int]:
    """The ids of the nodes, at most so many."""
    found = conn.scalars(
        select(Node.id)
        .join(Account, Account.id == Node.account_id)
        .where(*shown(states), *named(query))
        .order_by(Node.id)
        .limit(most)
    )
    return list(found)


def constrained(query: Query) -> bool:
    """Whether the query names nodes at all."""
    return bool(query.accounts or query.services or query.nodes)


def shown(states: tuple[str, ...]) -> list[Truth]:
    """What has to hold of a node whose items may be shown."""
    return [Node.state.in_(states), Node.completeness != "none", Account.removed.is_(False)]


def named(query: Query) -> list[Truth]:
    """What has to hold of a node that the query names. The service "" is the account's own."""
    conditions: list[Truth] = []
    if query.accounts:
        conditions.append(Account.jid.in_(query.accounts))
    if query.services:
        services = [service for service in query.services if service]
        own = Node.service == Account.jid if "" in query.services else false()
        conditions.append(or_(Node.service.in_(services), own))
    if query.nodes:
        conditions.append(Node.node.in_(query.nodes))
    return conditions

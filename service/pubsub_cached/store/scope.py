"""Which nodes a search goes through: those that its query names, as far as their items may be shown."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, false, func, or_, select

from .models import Account, Node
from .query import Query
from .statement import Prepared

Truth = ColumnElement[bool]

_ACCOUNTS = Prepared(select(Account.id, Account.jid))


class Part(msgspec.Struct, frozen=True):
    """Nodes of one account that are in the same state.

    validated_at: when the first of them was last known to be right, None when that is not known of all.
    next_sync: when the first of them is due, None when one of them always is.
    """

    account: str
    state: str
    completeness: str
    nodes: int
    validated_at: int | None
    next_sync: int | None


def parts(conn: Connection, query: Query, states: tuple[str, ...]) -> list[Part]:
    """All the nodes of the scope."""
    names = accounts(conn)
    return [
        Part(
            names[account],
            state,
            completeness,
            nodes,
            validated if knowing == nodes else None,
            due if dated == nodes else None,
        )
        for account, state, completeness, nodes, validated, knowing, due, dated in conn.execute(
            _grouped(states).where(*named(query)) if constrained(query) else _grouped(states)
        )
    ]


@lru_cache(maxsize=8)
def _grouped(states: tuple[str, ...]) -> Any:
    grouped = (Node.account_id, Node.state, Node.completeness)
    return (
        select(
            *grouped,
            func.count(),
            func.min(Node.validated_at),
            func.count(Node.validated_at),
            func.min(Node.next_sync),
            func.count(Node.next_sync),
        )
        .where(*shown(states))
        .group_by(*grouped)
    )


def few(conn: Connection, query: Query, states: tuple[str, ...], most: int) -> tuple[list[int], int] | None:
    """The ids of the nodes and how many items they have; None when they are more than ``most``."""
    found = conn.execute(
        select(Node.id, Node.item_count).where(*shown(states), *named(query)).order_by(Node.id).limit(most + 1)
    ).all()
    if len(found) > most:
        return None
    return [id_ for id_, _ in found], sum(count for _, count in found)


def count(conn: Connection, query: Query, states: tuple[str, ...]) -> int:
    """How many items the nodes have."""
    items = select(func.coalesce(func.sum(Node.item_count), 0)).where(*shown(states), *named(query))
    return int(conn.scalar(items) or 0)


def accounts(conn: Connection) -> dict[int, str]:
    """The JIDs of the accounts."""
    return dict(_ACCOUNTS.all(conn))


def constrained(query: Query) -> bool:
    """Whether the query names nodes at all."""
    return bool(query.accounts or query.services or query.nodes)


@lru_cache(maxsize=8)
def shown(states: tuple[str, ...]) -> tuple[Truth, ...]:
    """What has to hold of a node whose items may be shown."""
    return (
        Node.state.in_(states),
        Node.completeness != "none",
        Node.account_id.in_(select(Account.id).where(Account.removed.is_(False))),
    )


def named(query: Query) -> list[Truth]:
    """What has to hold of a node that the query names. The service "" is the account's own."""
    conditions: list[Truth] = []
    if query.accounts:
        conditions.append(Node.account_id.in_(select(Account.id).where(Account.jid.in_(query.accounts))))
    if query.services:
        services = [service for service in query.services if service]
        own = select(Account.jid).where(Account.id == Node.account_id).scalar_subquery()
        conditions.append(or_(Node.service.in_(services), Node.service == own if "" in query.services else false()))
    if query.nodes:
        conditions.append(Node.node.in_(query.nodes))
    return conditions

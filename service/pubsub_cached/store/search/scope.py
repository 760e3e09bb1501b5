"""Which nodes a search goes through: those that its query names, as far as their items may be shown."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    case,
    column,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy import values as constants
from sqlalchemy.orm import InstrumentedAttribute

from ...address import Address
from .. import dialect, whose
from ..accounts import nodes as node_store
from ..database import TooMuch
from ..dialect import Truth
from ..models import Account, Node
from ..rows import UNPROVED
from ..statement import Prepared, Row, Slot, Values, bound, each
from .query import Query

_ACCOUNTS = Prepared(select(Account.id, Account.jid))
# So many nodes may be looked at while everybody waits.
_BRIEF = 2500


class Shown(msgspec.Struct, frozen=True, gc=False):
    """Which nodes may be shown: those in one of the states, with one of the analysers (None: any), but for ``hidden``.

    hidden: what their rows say is right no more, and could not be written down yet.
    """

    states: tuple[str, ...]
    analysers: frozenset[str] | None = None
    hidden: frozenset[Address] = frozenset()

    @property
    def by_state(self) -> bool:
        """Whether the state decides alone."""
        return self.analysers is None and not self.hidden


class Named(msgspec.Struct, frozen=True, gc=False):
    """Which nodes a query names, by slots; all of them where there are none. own: the services of the accounts."""

    accounts: tuple[Slot, ...] = ()
    services: tuple[Slot, ...] = ()
    own: bool = False
    nodes: tuple[Slot, ...] = ()

    def __bool__(self) -> bool:
        return self != _ALL

    @property
    def by_account(self) -> bool:
        """Whether whole accounts are, or all of them."""
        return not (self.services or self.own or self.nodes)


_ALL = Named()
POLLED = "polled"


class Part(msgspec.Struct, frozen=True):
    """Nodes of one account that are in the same state.

    validated_at: when the first of them was last known to be right, None when that is not known of all.
    next_sync: when the first of them is due, None when one of them always is; of polled nodes, of others None.
    """

    account: str
    state: str
    completeness: str
    validated_at: int | None
    next_sync: int | None


def parts(conn: Connection, query: Query, nodes: Shown, *, briefly: bool = False) -> list[Part]:
    """All the nodes of the scope. Those of whole accounts are looked at again only once something changed.

    briefly: raises TooMuch where many would have to be looked at again.
    """
    if query.services or query.nodes:
        values = Values()
        return _told(conn, _grouped(nodes, named(query, values)).all(conn, values))
    found = _everywhere(conn, nodes, briefly)
    return [part for part in found if part.account in query.accounts] if query.accounts else found


def _everywhere(conn: Connection, nodes: Shown, briefly: bool) -> list[Part]:
    version = dialect.of(conn).version(conn)
    known: dict[Shown, tuple[object, list[Part]]] = conn.info.setdefault("parts", {})
    before, found = known.get(nodes, (None, []))
    if before != version:
        if briefly and _looked_at(nodes).value(conn) > _BRIEF:
            raise TooMuch
        found = _told(conn, _all(nodes).all(conn))
        # Of an earlier version nothing is asked again.
        for old in [each for each, (of, _) in known.items() if of != version]:
            del known[old]
        known[nodes] = version, found
    return found


def _told(conn: Connection, found: list[Row]) -> list[Part]:
    names = accounts(conn)
    return [Part(names[account], *rest) for account, *rest in found]


@lru_cache(maxsize=32)
def _grouped(nodes: Shown, of: Named) -> Prepared:
    """The columns of ``Part``, the account by its id, from a look at each node."""
    grouped = (Node.account_id, Node.state, Node.completeness)
    found = select(*grouped, _first(Node.validated_at), case((Node.state == POLLED, _first(Node.next_sync))))
    return Prepared(found.where(*shown(nodes), *are(of)).group_by(*grouped))


def _first(time: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """The earliest time of a group; NULL where one of them has none."""
    return case((func.count(time) == func.count(), func.min(time)))


@lru_cache(maxsize=8)
def _all(nodes: Shown) -> Prepared:
    """As ``_grouped``, of all nodes: found where their groups begin in ``ix_node_shown``, but for what is polled."""
    if not nodes.by_state:
        return _grouped(nodes, _ALL)
    states = constants(column("state", Text)).data([(state,) for state in sorted(nodes.states)]).cte("states")
    extents = constants(column("extent", Text)).data([("window",), ("full",)]).cte("extents")
    group = (
        Node.account_id == Account.id,
        Node.state == states.c.state,
        Node.completeness == extents.c.extent,
        Node.reason != UNPROVED,
    )

    def each_group(wanted: Any, *more: Truth) -> Select[Any]:
        return select(wanted).where(*group, *more).correlate(Account, states, extents)

    def there_is(*more: Truth) -> Truth:
        # In the order of the index, for else PostgreSQL reads all nodes: it joins EXISTS to them, and any one it takes
        # for among the first, wherever it looks.
        one = each_group(literal(1), *more).order_by(Node.validated_at, Node.next_sync).limit(1)
        return one.scalar_subquery().is_not(None)

    def first(time: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
        return case((~there_is(time.is_(None)), each_group(func.min(time)).scalar_subquery()))

    found = select(
        Account.id,
        states.c.state,
        extents.c.extent,
        first(Node.validated_at),
        case((states.c.state == POLLED, first(Node.next_sync))),
    )
    return Prepared(found.where(whose.has(), there_is()))


@lru_cache(maxsize=8)
def _looked_at(nodes: Shown) -> Prepared:
    """How many nodes ``_all`` looks at one by one; counted no further than has to be known."""
    some = select(Node.id).where(Node.account_id.in_(select(Account.id).where(whose.has())))
    if nodes.by_state:
        some = some.where(Node.state == POLLED)
    return Prepared(select(func.count()).select_from(some.limit(_BRIEF + 1).subquery()))


def few(conn: Connection, of: Named, values: Values, nodes: Shown, most: int) -> tuple[list[int], int] | None:
    """The ids of the nodes and how many items they have; None when they are more than ``most``."""
    found = _few(nodes, of, values.slot(most + 1)).all(conn, values)
    if len(found) > most:
        return None
    return [id_ for id_, _ in found], sum(count for _, count in found)


@lru_cache(maxsize=32)
def _few(nodes: Shown, of: Named, most: Slot) -> Prepared:
    return Prepared(
        select(Node.id, Node.item_count).where(*shown(nodes), *are(of)).order_by(Node.id).limit(bound(most))
    )


def count(conn: Connection, query: Query, nodes: Shown) -> int:
    """How many items the nodes have."""
    values = Values()
    return int(_count(nodes, named(query, values)).value(conn, values))


@lru_cache(maxsize=32)
def _count(nodes: Shown, of: Named) -> Prepared:
    return Prepared(select(func.coalesce(func.sum(Node.item_count), 0)).where(*shown(nodes), *are(of)))


def floor(conn: Connection, query: Query, nodes: Shown) -> int:
    """The revision in which something of the nodes was dropped last, or one of them was first known."""
    values = Values()
    return int(_floor(nodes, named(query, values)).value(conn, values))


@lru_cache(maxsize=32)
def _floor(nodes: Shown, of: Named) -> Prepared:
    return Prepared(select(func.coalesce(func.max(Node.floor), 0)).where(*shown(nodes), *are(of)))


def accounts(conn: Connection) -> dict[int, str]:
    """The JIDs of the accounts."""
    return dict(_ACCOUNTS.all(conn))


@lru_cache(maxsize=8)
def shown(nodes: Shown) -> tuple[Truth, ...]:
    """What has to hold of a node whose items may be shown."""
    conditions: tuple[Truth, ...] = (
        Node.state.in_(sorted(nodes.states)),
        Node.completeness != "none",
        Node.reason != UNPROVED,
        Node.account_id.in_(select(Account.id).where(whose.has())),
    )
    if nodes.analysers is not None:
        conditions += (Node.analyser.in_(sorted(nodes.analysers)),)
    return (*conditions, ~node_store.among(nodes.hidden)) if nodes.hidden else conditions


def named(query: Query, values: Values) -> Named:
    """Which nodes the query names. The service "" is the account's own."""
    return Named(
        values.slots(query.accounts),
        values.slots([service for service in query.services if service]),
        "" in query.services,
        values.slots(query.nodes),
    )


def are(of: Named) -> list[Truth]:
    """What has to hold of a node that is named."""
    conditions: list[Truth] = []
    if of.accounts:
        conditions.append(Node.account_id.in_(select(Account.id).where(Account.jid.in_(each(of.accounts)))))
    services: list[Truth] = []
    if of.services:
        services.append(Node.service.in_(each(of.services)))
    if of.own:
        services.append(Node.service == select(Account.jid).where(Account.id == Node.account_id).scalar_subquery())
    if services:
        conditions.append(or_(*services))
    if of.nodes:
        conditions.append(Node.node.in_(each(of.nodes)))
    return conditions

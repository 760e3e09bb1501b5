"""The outbox: publishes and retractions that wait until they can be sent, in the order they were queued."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, delete, insert, select, update

from ... import errors
from ...address import Address
from .. import whose
from ..models import Account, Outbox
from ..transaction import Transaction
from . import accounts

Action = Literal["publish", "retract"]
# ``digest`` of what the service is known to hold under an id, "" for nothing; None while that is not known.
Bases = dict[str, str | None]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Something to send; ``id`` 0 before it is stored.

    options: publish-options. items: the ids, and what each was when it was queued. path: of its
    job. queued_at: ms. attempts: how often the first of the items that are left may have been sent.
    """

    id: int = 0
    address: Address
    action: Action
    payload: str = ""
    options: dict[str, list[str]] = {}
    notify: bool = True
    items: Bases
    path: str
    queued_at: int
    attempts: int = 0


# The columns of an Entry after ``address``; those of JSON.
_REST = Entry.__struct_fields__[2:]
_JSON: dict[str, Any] = {"options": dict[str, list[str]], "items": Bases}
_ALL: Select[Any] = select(
    Outbox.id, Account.jid, Outbox.service, Outbox.node, *(getattr(Outbox, name) for name in _REST)
).join(Account, Account.id == Outbox.account_id)


def all(conn: Connection) -> list[Entry]:
    """Everything of the accounts that are run that waits, the oldest first."""
    return [_entry(row) for row in conn.execute(_ALL.where(whose.runs()).order_by(Outbox.id))]


def add(tx: Transaction, entry: Entry) -> Entry:
    """Store an entry after all others; as it is then, with its id. Raises NoSuchAccount, AccountInUse."""
    conn = tx.connection
    # It would be sent twice, by whoever runs the account next and by this daemon.
    account_id = accounts.own(tx, entry.address.account, lasting=True)
    if accounts.find(conn, entry.address.account) is None:
        raise errors.NoSuchAccount(f"There is no account {entry.address.account}.")
    id_ = conn.scalar(
        insert(Outbox)
        .values(account_id=account_id, service=entry.address.service, node=entry.address.node, **_columns(entry, _REST))
        .returning(Outbox.id)
    )
    assert id_ is not None
    return msgspec.structs.replace(entry, id=id_)


def tried(tx: Transaction, entry: Entry) -> None:
    """Write down an entry's attempts and what is known of its items, before it is sent."""
    accounts.own(tx, entry.address.account)
    columns = _columns(entry, ("attempts", "items"))
    tx.connection.execute(update(Outbox).where(*_is(entry)).values(columns))


def remove(tx: Transaction, entry: Entry, followed: bool = False) -> None:
    """An entry is done with; one that is not there is no error. Raises AccountInUse.

    followed: of those behind it the next with each of its items goes on from what that is now.
    """
    accounts.own(tx, entry.address.account)
    conn = tx.connection
    left = {id_: base for id_, base in entry.items.items() if base is not None} if followed else {}
    behind = entry.id
    # One at a time, and as a rule it is the next: of all that waits the rows may be large.
    while left and (row := conn.execute(_next(entry.address, behind)).first()) is not None:
        behind, items = row[0], msgspec.json.decode(row[1], type=Bases)
        known: Bases = {id_: left.pop(id_) for id_ in items if id_ in left}
        if known:
            columns = {"items": msgspec.json.encode(items | known).decode()}
            conn.execute(update(Outbox).where(Outbox.id == behind).values(columns))
    conn.execute(delete(Outbox).where(*_is(entry)))


def remove_all(tx: Transaction, account: str) -> None:
    """Nothing of an account is to be sent any more. Raises AccountInUse."""
    tx.connection.execute(delete(Outbox).where(Outbox.account_id == accounts.own(tx, account)))


def _is(entry: Entry) -> tuple[ColumnElement[bool], ...]:
    """That of this entry: its id may be another one's once it went with its account, as SQLite gives it again."""
    return Outbox.id == entry.id, Outbox.path == entry.path


def _next(address: Address, id_: int) -> Select[int, str]:
    """What is behind an entry of a node, the first of it."""
    account, service, node = address
    there = Account.jid == account, Outbox.service == service, Outbox.node == node, Outbox.id > id_
    return select(Outbox.id, Outbox.items).join(Account).where(*there).order_by(Outbox.id).limit(1)


def _columns(entry: Entry, names: Iterable[str]) -> dict[str, Any]:
    columns = {name: getattr(entry, name) for name in names}
    return columns | {name: msgspec.json.encode(columns[name]).decode() for name in _JSON.keys() & columns.keys()}


def _entry(row: Iterable[Any]) -> Entry:
    id_, account, service, node, *rest = row
    columns = dict(zip(_REST, rest, strict=True))
    columns |= {name: msgspec.json.decode(columns[name], type=kind) for name, kind in _JSON.items()}
    return Entry(id=id_, address=Address(account, service, node), **columns)

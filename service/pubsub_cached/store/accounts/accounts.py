"""Accounts."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, delete, insert, select, update

from ... import errors
from ..models import Account, Flag
from ..rows import AccountRow
from ..statement import Prepared
from ..transaction import Transaction
from . import discarded

_ALL: Select[Any] = select(*(getattr(Account, name) for name in AccountRow.__struct_fields__)).where(
    Account.removed.is_(False)
)
_ID = Prepared(select(Account.id).where(Account.jid == bindparam("jid")))


def all(conn: Connection) -> list[AccountRow]:
    """Every account, in the order they were added; not those removed with their cache kept."""
    return [AccountRow(*row) for row in conn.execute(_ALL.order_by(Account.id))]


def find(conn: Connection, jid: str) -> AccountRow | None:
    """The account of a bare JID, or None."""
    row = conn.execute(_ALL.where(Account.jid == jid)).first()
    return AccountRow(*row) if row else None


def own(tx: Transaction, jid: str, *, lasting: bool = False) -> int | None:
    """The id of an account whose rows are about to be written, None when there is none; see ``Transaction.own``."""
    id_: int | None = _ID.value(tx.connection, jid=jid)
    if id_ is not None:
        tx.own(id_, lasting=lasting)
    return id_


def ensure(tx: Transaction, /, jid: str, **columns: Any) -> AccountRow:
    """The account with these values, new or changed; one removed with its cache kept comes back to it.

    columns: of ``AccountRow``, which has the others. Raises AccountInUse.
    """
    values = msgspec.structs.asdict(AccountRow(0, jid, **columns)) | {"removed": False}
    del values["id"]
    conn = tx.connection
    own(tx, jid)
    # One that was removed comes back into sight with its cache.
    tx.touched.all()
    if not conn.execute(update(Account).where(Account.jid == jid).values(values)).rowcount:
        conn.execute(insert(Account).values(values))
    row = find(conn, jid)
    assert row is not None
    return row


def enable(tx: Transaction, jid: str, enabled: bool) -> AccountRow:
    """Write down whether an account connects. Raises NoSuchAccount for one that was removed, AccountInUse."""
    own(tx, jid)
    tx.connection.execute(update(Account).where(Account.jid == jid, ~Account.removed).values(enabled=enabled))
    row = find(tx.connection, jid)
    if row is None:
        raise errors.NoSuchAccount(f"There is no account {jid}.")
    return row


def remove(tx: Transaction, jid: str, keep_cache: bool = False) -> bool:
    """Forget an account; its nodes, items and flags too unless ``keep_cache``. False when there was none.

    Raises AccountInUse.
    """
    conn = tx.connection
    row = find(conn, jid)
    if row is None:
        return False
    tx.own(row.id)
    if keep_cache:
        tx.touched.all()
        conn.execute(update(Account).where(Account.jid == jid).values(removed=True))
    else:
        discarded.discard(tx, row.id)
        conn.execute(delete(Account).where(Account.jid == jid))
        conn.execute(delete(Flag).where(Flag.account == jid))
    return True

"""The outbox: publishes and retractions that wait until they can be sent, in the order they were queued."""

from __future__ import annotations

from typing import Literal, cast

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

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


def all(conn: Connection) -> list[Entry]:
    """Everything of the accounts that are run that waits, the oldest first."""
    rows = conn.execute(
        select(
            Outbox.id,
            Account.jid,
            Outbox.service,
            Outbox.node,
            Outbox.action,
            Outbox.payload,
            Outbox.options,
            Outbox.notify,
            Outbox.items,
            Outbox.path,
            Outbox.queued_at,
            Outbox.attempts,
        )
        .join(Account, Account.id == Outbox.account_id)
        .where(whose.runs())
        .order_by(Outbox.id)
    )
    return [
        Entry(
            id=id_,
            address=Address(jid, service, node),
            action=cast("Action", action),
            payload=payload,
            options=msgspec.json.decode(options, type=dict[str, list[str]]),
            notify=notify,
            items=msgspec.json.decode(items, type=Bases),
            path=path,
            queued_at=queued_at,
            attempts=attempts,
        )
        for id_, jid, service, node, action, payload, options, notify, items, path, queued_at, attempts in rows
    ]


def add(tx: Transaction, entry: Entry) -> Entry:
    """Store an entry after all others; as it is then, with its id. Raises NoSuchAccount, AccountInUse."""
    conn = tx.connection
    # It would be sent twice, by whoever runs the account next and by this daemon.
    account_id = accounts.own(tx, entry.address.account, lasting=True)
    if account_id is None:
        raise errors.NoSuchAccount(f"There is no account {entry.address.account}.")
    id_ = conn.scalar(
        insert(Outbox)
        .values(
            account_id=account_id,
            service=entry.address.service,
            node=entry.address.node,
            action=entry.action,
            payload=entry.payload,
            options=msgspec.json.encode(entry.options).decode(),
            notify=entry.notify,
            items=msgspec.json.encode(entry.items).decode(),
            path=entry.path,
            queued_at=entry.queued_at,
            attempts=entry.attempts,
        )
        .returning(Outbox.id)
    )
    assert id_ is not None
    return msgspec.structs.replace(entry, id=id_)


def tried(tx: Transaction, entry: Entry) -> None:
    """Write down an entry's attempts and what is known of its items, before it is sent."""
    accounts.own(tx, entry.address.account)
    tx.connection.execute(
        update(Outbox)
        .where(Outbox.id == entry.id)
        .values(attempts=entry.attempts, items=msgspec.json.encode(entry.items).decode())
    )


def remove(tx: Transaction, entry: Entry) -> None:
    """An entry is done with; one that is not there is no error. Raises AccountInUse."""
    accounts.own(tx, entry.address.account)
    tx.connection.execute(delete(Outbox).where(Outbox.id == entry.id))

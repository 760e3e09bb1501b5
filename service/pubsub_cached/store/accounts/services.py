"""What was observed of services."""

from __future__ import annotations

from typing import Literal

import msgspec
from sqlalchemy import Connection, delete, insert, select

from ..models import Account, Service
from ..transaction import Transaction
from . import accounts

Paging = Literal["", "pages", "none", "wrong"]


class Observed(msgspec.Struct, frozen=True):
    """What a service was seen to do.

    moved, kept: how often an overwritten item became the newest, and how often it stayed in its place; a contradiction
    begins ``moved`` anew. paging: whether pages are honoured (XEP-0059), ignored, or not to be relied on. archived: how
    often a node's archive (XEP-0313) was its items; a contradiction begins that anew.
    """

    moved: int = 0
    kept: int = 0
    paging: Paging = ""
    archived: int = 0


def all(conn: Connection) -> dict[tuple[str, str], Observed]:
    """Everything observed, by account and service."""
    rows = conn.execute(
        select(Account.jid, Service.service, *(getattr(Service, name) for name in Observed.__struct_fields__)).join(
            Account, Account.id == Service.account_id
        )
    )
    return {(jid, service): Observed(*observed) for jid, service, *observed in rows}


def put(tx: Transaction, account: str, service: str, observed: Observed) -> None:
    """Write down what is known of a service now; nothing where the account is gone meanwhile."""
    account_id = accounts.own(tx, account)
    if account_id is None:
        return
    tx.connection.execute(delete(Service).where(Service.account_id == account_id, Service.service == service))
    tx.connection.execute(
        insert(Service).values(account_id=account_id, service=service, **msgspec.structs.asdict(observed))
    )

"""Whose accounts: a database on a server may be used by several daemons, each with accounts of its own.

What a daemon shows is of the accounts that it has; what it does by itself is done for those that it runs, for of each
account one daemon at a time writes the rows. A file has one daemon, which has and runs every account that was not
removed. On a server the connection knows (``Database.show``); where it was told nothing, it is all of them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement, FunctionElement
from sqlalchemy.ext.compiler import compiles

from .models import Account

# Where a connection to a server keeps the ids; arrays as PostgreSQL writes them.
SETTINGS = {"has": "pubsub_cached.has", "runs": "pubsub_cached.runs"}


class _Whose(FunctionElement[bool]):
    """Whether ``account`` is the daemon's."""

    inherit_cache = True
    type = Boolean()


class _Has(_Whose):
    name = "has"
    inherit_cache = True


class _Runs(_Whose):
    name = "runs"
    inherit_cache = True


@compiles(_Whose)
def _in_a_file(element: _Whose, compiler: Any, **kwargs: Any) -> str:
    _, removed = element.clauses
    return f"NOT {compiler.process(removed, **kwargs)}"


@compiles(_Whose, "postgresql")
def _on_a_server(element: _Whose, compiler: Any, **kwargs: Any) -> str:
    id_, removed = (compiler.process(clause, **kwargs) for clause in element.clauses)
    ids = f"nullif(current_setting('{SETTINGS[element.name]}', true), '')::bigint[]"
    return f"(NOT {removed} AND coalesce({id_} = ANY ({ids}), true))"


def has() -> ColumnElement[bool]:
    """Of ``account``: the daemon has it, and shows what is stored of it."""
    return _Has(Account.id, Account.removed)


def runs() -> ColumnElement[bool]:
    """Of ``account``: the daemon runs it, and looks after what is stored of it."""
    return _Runs(Account.id, Account.removed)

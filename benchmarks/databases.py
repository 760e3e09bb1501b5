"""Where daemons keep their caches: each in a file of its own, or in a database of its own on a server of PostgreSQL."""

from __future__ import annotations

import itertools
import os
from types import TracebackType
from typing import Self

from sqlalchemy import make_url

from tests.support.daemon import Daemon
from tests.support.postgresql import PostgreSQL

FILES = "sqlite"
OWN = "postgresql"


class Databases:
    """A context manager; the databases that were made are dropped at the end.

    where: ``sqlite``, ``postgresql`` for a server of its own, or the URL of a database of PostgreSQL whose user may
    make others beside it.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._server = PostgreSQL() if where == OWN else None
        self._made: list[str] = []
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        if self._server is not None:
            self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._server is not None:
            self._server.remove()
            return
        for name in self._made:
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def of(self, daemon: Daemon) -> str:
        """The URL of a database for a daemon, which is told of it where it would not find it by itself."""
        if self._where == FILES:
            return f"sqlite:///{daemon.database}"
        if self._server is not None:
            url = self._server.url(self._server.create())
        else:
            name = f"pubsub_cached_bench_{os.getpid()}_{next(self._numbers)}"
            self._execute(f"CREATE DATABASE \"{name}\" ENCODING 'UTF8' TEMPLATE template0")
            self._made.append(name)
            url = make_url(self._where).set(database=name).render_as_string(hide_password=False)
        with daemon.config.open("a", encoding="utf-8") as config:
            config.write(f'[database]\nurl = "{url}"\n')
        daemon.config.chmod(0o600)
        return url

    def _execute(self, statement: str) -> None:
        import psycopg

        url = make_url(self._where).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)

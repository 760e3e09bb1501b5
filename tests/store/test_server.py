"""A database on a server at the start: made, upgraded, or refused with what is to be done."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from pubsub_cached.clock import clock
from pubsub_cached.errors import BadConfiguration, DatabaseError, NewerDatabase
from pubsub_cached.store.migrate import prepare
from pubsub_cached.store.postgresql import locks
from pubsub_cached.store.revisions import Migrations
from tests.support.postgresql import PASSWORD, USER, PostgreSQL

pytestmark = pytest.mark.postgresql

COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = 'node'"


def tables(server: PostgreSQL, name: str) -> set[str]:
    return {table for (table,) in server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)}


def test_the_revision_of_a_new_database_starts_at_the_clock(server: PostgreSQL) -> None:
    name = server.create()
    before = clock()
    assert prepare(server.url(name)) == ""
    (found,) = server.execute("SELECT value FROM counter WHERE name = 'revision'", name)
    assert before <= found[0] <= clock()
    assert prepare(server.url(name)) == ""
    server.drop(name)


def test_daemons_that_start_together_make_the_tables_once(server: PostgreSQL) -> None:
    name = server.create()
    failed: list[BaseException] = []

    def begin() -> None:
        try:
            prepare(server.url(name))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=begin) for _ in range(3)]
    with psycopg.connect(server.url(name).replace("+psycopg", "")) as other:
        other.execute(f"SELECT pg_advisory_xact_lock({locks.of(other).daemons.arguments})")
        for thread in threads:
            thread.start()
        while len(server.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")) < len(threads):
            time.sleep(0.01)
        assert tables(server, name) == set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert "item" in tables(server, name)
    server.drop(name)


def test_an_upgrade_that_fails_never_happened(
    server: PostgreSQL, name: str, later: Migrations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(DatabaseError, match="could not be upgraded, and is as it was: no such colour"):
        prepare(server.url(name), later)
    assert prepare(server.url(name)) == ""
    monkeypatch.delenv("FAIL")
    prepare(server.url(name), later)
    with pytest.raises(NewerDatabase, match="revision 'later', which is newer than this version's"):
        prepare(server.url(name))


def test_tables_of_something_else_are_left_alone(server: PostgreSQL) -> None:
    name = server.create()
    server.execute("CREATE TABLE item (song text)", name)
    with pytest.raises(BadConfiguration, match="holds tables of something else"):
        prepare(server.url(name))
    assert tables(server, name) == {"item"}
    server.execute("DROP TABLE item; CREATE TABLE song (title text)", name)
    prepare(server.url(name))
    server.drop(name)


@pytest.mark.parametrize("kept", ["file of passwords", "service"])
def test_the_password_may_be_kept_where_libpq_finds_it(
    server: PostgreSQL, name: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = f"{server.host}:{server.port}"
    file = tmp_path / "kept"
    if kept == "service":
        file.write_text(
            f"[cache]\nhost={server.host}\nport={server.port}\ndbname={name}\nuser={USER}\npassword={PASSWORD}\n"
        )
        monkeypatch.setenv("PGSERVICEFILE", str(file))
        url = "postgresql+psycopg:///?service=cache"
    else:
        file.write_text(f"{where}:{name}:{USER}:{PASSWORD}\n")
        monkeypatch.setenv("PGPASSFILE", str(file))
        url = f"postgresql+psycopg://{USER}@{where}/{name}"
    file.chmod(0o600)
    assert prepare(url) == ""
    # Nothing else lets it in.
    file.write_text(file.read_text().replace(PASSWORD, "wrong"))
    with pytest.raises(BadConfiguration, match="password authentication failed"):
        prepare(url)


def test_what_a_server_refuses_is_said_without_the_password(server: PostgreSQL, name: str) -> None:
    def refused(url: str, kind: type[Exception]) -> str:
        with pytest.raises(kind) as error:
            prepare(url)
        causes = [error.value, error.value.__cause__]
        assert all("guess" not in str(cause) for cause in causes)
        return str(error.value)

    good = server.url(name, password=True)
    prepare(good)
    wrong = good.replace(PASSWORD.replace(" ", "%20"), "guess")
    assert "password authentication failed" in refused(wrong, BadConfiguration)
    assert "does not exist" in refused(server.url("nowhere"), BadConfiguration)
    assert "colour" in refused(server.url(name) + "&colour=red", BadConfiguration)
    down = wrong.replace(str(server.port), "1")
    assert "Is the server running?" in refused(down, DatabaseError)
    latin = f"latin{server.port}"
    server.execute(f"CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc")
    assert "createdb --encoding=UTF8" in refused(server.url(latin), BadConfiguration)
    server.drop(latin)


def test_without_the_driver_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "pubsub_cached.store.postgresql.connection", raising=False)
    with pytest.raises(BadConfiguration, match=r"pip install 'pubsub-cached\[postgresql\]'"):
        prepare("postgresql+psycopg://me@127.0.0.1/cache")

"""Revisions of the schema: up, down, equal to the models, and usable by an operator."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from alembic.script import ScriptDirectory
from pytest_alembic.config import Config
from pytest_alembic.tests import (  # noqa: F401
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text

from pubsub_cached import paths
from pubsub_cached.store import dialect, migrate, revisions, words
from pubsub_cached.store.sqlite import engine as engines
from pubsub_cached.store.sqlite.alone import alone
from pubsub_cached.store.statement import Prepared, Values
from tests.support.postgresql import PostgreSQL

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def alembic_config() -> Config:
    return Config({"file": str(CHECKOUT / "alembic.ini"), "script_location": str(paths.migrations())})


@pytest.fixture
def alembic_engine(tmp_path: Path, backend: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    if backend == "sqlite":
        engine = engines.engine(tmp_path / "migrated.sqlite3", begin="BEGIN IMMEDIATE")
    else:
        server: PostgreSQL = request.getfixturevalue("server")
        engine = create_engine(server.url(server.create()))
    yield engine
    engine.dispose()


def typed(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What an operator types in the checkout."""
    environment = os.environ | {"XDG_DATA_HOME": str(home)}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "alembic", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)


def alembic(home: Path, *arguments: str) -> str:
    done = typed(home, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


def test_the_newest_revision_is_the_one_the_store_asks_for() -> None:
    scripts = ScriptDirectory.from_config(revisions.configuration(paths.migrations()))
    assert scripts.get_current_head() == revisions.HEAD


def test_an_operator_upgrades_checks_and_downgrades(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "cache.sqlite3"
    url = f"url=sqlite:///{path}"
    alembic(tmp_path, "-x", url, "upgrade", "head")
    assert {"node", "item", "account", "flag", "tombstone", "counter"} <= tables(path)
    assert path.stat().st_mode & 0o777 == 0o600
    alembic(tmp_path, "-x", url, "check")
    assert revisions.HEAD in alembic(tmp_path, "-x", url, "current")
    assert migrate.prepare(f"sqlite:///{path}") == ""
    alembic(tmp_path, "-x", url, "downgrade", "base")
    assert tables(path) == {"alembic_version"}
    assert migrate.prepare(f"sqlite:///{path}") == ""
    assert "item" in tables(path)


def test_an_operator_upgrades_checks_and_downgrades_a_server(tmp_path: Path, server: PostgreSQL) -> None:
    url = server.url(server.create())
    alembic(tmp_path, "-x", f"url={url}", "upgrade", "head")
    alembic(tmp_path, "-x", f"url={url}", "check")
    assert revisions.HEAD in alembic(tmp_path, "-x", f"url={url}", "current")
    assert migrate.prepare(url) == ""
    alembic(tmp_path, "-x", f"url={url}", "downgrade", "base")
    assert migrate.prepare(url) == ""


def test_an_operator_works_on_the_users_own_database_without_a_url(tmp_path: Path) -> None:
    alembic(tmp_path, "upgrade", "head")
    assert "item" in tables(tmp_path / "pubsub-cached" / "cache.sqlite3")


@pytest.mark.parametrize("more", [(), ("--sql",)], ids=["at once", "as SQL"])
def test_a_url_that_can_not_be_used_is_told_in_a_line(tmp_path: Path, more: tuple[str, ...]) -> None:
    done = typed(tmp_path, "-x", "url=mysql://host/cache", "upgrade", "head", *more)
    assert done.returncode != 0
    assert "The database URL 'mysql://host/cache' is of a database that is not known" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_file_that_can_not_be_used_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = typed(tmp_path, "-x", f"url=sqlite:///{tmp_path}/file/cache.sqlite3", "upgrade", "head")
    assert done.returncode != 0
    assert f"The database {tmp_path}/file/cache.sqlite3 can't be used" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_nothing_is_done_to_the_file_of_a_daemon_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    migrate.prepare(f"sqlite:///{path}")
    with alone(path):
        done = typed(tmp_path, "-x", f"url=sqlite:///{path}", "downgrade", "base")
    assert done.returncode != 0
    assert f"is used by another daemon, the process {os.getpid()};" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "item" in tables(path)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_statements_can_be_written_out_for_both_databases(tmp_path: Path, dialect: str) -> None:
    url = {"sqlite": "sqlite:////x.sqlite3", "postgresql": "postgresql+psycopg://h/d"}[dialect]
    sql = alembic(tmp_path, "-x", f"url={url}", "upgrade", "head", "--sql")
    assert "CREATE TABLE item" in sql
    assert ("BIGSERIAL" in sql) == (dialect == "postgresql")


ACCOUNT = "INSERT INTO account VALUES (1, 'a@b', 'bus', true, '', 0, 'starttls', '', '', false)"


def test_downgrade_and_upgrade_with_data(tmp_path: Path, alembic_runner: Any) -> None:
    alembic_runner.migrate_up_to("head")
    with alembic_runner.connection_executor.connection.begin() as connection:
        for sql in (
            ACCOUNT,
            "INSERT INTO flag VALUES ('a@b', 's', 'n', 'i', 'read')",
            "INSERT INTO subscription VALUES (1, 's', 'n', '')",
        ):
            connection.exec_driver_sql(sql)
    alembic_runner.migrate_down_to("base")
    alembic_runner.migrate_up_to("head")
    with alembic_runner.connection_executor.connection.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM account").scalar() == 0
        assert connection.exec_driver_sql("SELECT count(*) FROM counter").scalar() == 2


def with_items(alembic_runner: Any, data: Sequence[str | None]) -> Connection:
    """A connection to a database of the second revision with a node, and an item of each of these data."""
    alembic_runner.migrate_up_to("0002")
    connection: Connection = alembic_runner.connection_executor.connection
    with connection.begin() as open_:
        open_.exec_driver_sql(ACCOUNT)
        open_.exec_driver_sql(
            "INSERT INTO node (id, account_id, service, node, state, reason, completeness, guarantee, type, subtype,"
            " analyser, analyser_version, title, description, access_model, node_type, namespace, subscribed,"
            " own_subscription, subid, pinned, redirect, failures, item_count, floor, revision)"
            " VALUES (1, 1, 's', 'n', 'live', '', 'full', '', '', '', '', 0, '', '', '', '', '', false, false, '',"
            " false, '', 0, 0, 1, 1)"
        )
        insert = text(
            "INSERT INTO item VALUES (:n, 1, :id, 1, :n, :n, 1, 1, false, '', '', '', '', '', '', '', '', :data)"
        )
        for number, one in enumerate(data):
            open_.execute(insert, {"n": number, "id": str(number), "data": one})
    return connection


def test_the_texts_of_items_that_are_there_are_indexed(alembic_runner: Any) -> None:
    data = [None if number % 3 == 2 else f'{{"title":"word{number}"}}' for number in range(1200)]
    connection = with_items(alembic_runner, data)
    alembic_runner.migrate_up_to("0003")
    with connection.begin() as open_:
        spoken = dialect.of(open_)
        for number in (0, 1, 1198):
            values = Values()
            wanted = spoken.matching(spoken.matches(words.parse(f"word{number}"), values))
            rows = Prepared(select(spoken.text_row()).select_from(spoken.text_source()).where(*wanted))
            assert rows.all(open_, values) == [(number,)]
        assert spoken.compare_text_index(open_)
    alembic_runner.migrate_down_to("0002")
    with connection.begin() as open_:
        assert open_.exec_driver_sql("SELECT count(*), max(data) FROM item").fetchone()[0] == 1200
        assert not inspect(open_).has_table("item_text")


def test_the_texts_of_items_that_are_there_are_composed(alembic_runner: Any) -> None:
    titles = ["a word", "Йога", "\uc774\uba54\uc77c", ""] * 130
    connection = with_items(alembic_runner, [None] * len(titles))
    alembic_runner.migrate_up_to("0010")
    with connection.begin() as open_:
        for number, title in enumerate(titles):
            written = {"n": number, "text": normalize("NFD", title)}
            open_.execute(text("UPDATE item SET text = :text WHERE id = :n"), written)
        dialect.of(open_).rebuild_text_index(open_)
    alembic_runner.migrate_up_to("0011")
    with connection.begin() as open_:
        assert open_.scalars(text("SELECT text FROM item ORDER BY id")).all() == titles
        assert dialect.of(open_).compare_text_index(open_)


@pytest.mark.postgresql
def test_every_text_is_compared_by_code_points(server: PostgreSQL, template: str, backend: str) -> None:
    others = server.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'",
        server.create(template),
    )
    assert others == []

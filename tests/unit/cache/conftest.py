"""Every test of a cache on both databases; on PostgreSQL the ordinary run has a part of them, for they take minutes."""

from __future__ import annotations

import pytest

from tests.support.postgresql import PostgreSQL

# Those that say most of what a read is answered with.
ORDINARY = frozenset({"test_serving", "test_search", "test_views"})


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sqlite: of this database alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cached" not in metafunc.fixturenames:
        return
    marks = () if metafunc.module.__name__.rpartition(".")[2] in ORDINARY else pytest.mark.long
    if metafunc.definition.get_closest_marker("sqlite"):
        return
    metafunc.parametrize("backend", ["sqlite", pytest.param("postgresql", marks=marks)], scope="session", indirect=True)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the database."""
    name: str = getattr(request, "param", "sqlite")
    return name


@pytest.fixture(scope="session")
def reused(postgresql: PostgreSQL, template: str) -> str:
    """A database of PostgreSQL that one test after the other may have."""
    return postgresql.create(template)


@pytest.fixture
def cache_url(backend: str, request: pytest.FixtureRequest) -> str:
    """An empty database."""
    if backend == "sqlite":
        return ""
    server: PostgreSQL = request.getfixturevalue("postgresql")
    name: str = request.getfixturevalue("reused")
    server.empty(name)
    return server.url(name)

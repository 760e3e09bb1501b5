"""Object paths, and what the seam costs to import."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached import object_path


@pytest.mark.parametrize(
    ("text", "element"),
    [
        ("", "_"),
        ("alice@example.org", "alice_40example_2eorg"),
        ("1st", "_31st"),
        ("a1_b", "a1_5fb"),
        ("é", "_c3_a9"),
    ],
)
def test_escaping_as_systemd_does(text: str, element: str) -> None:
    assert object_path.encode(text) == element
    assert object_path.decode(element) == text


@given(st.text())
def test_escaping_can_be_undone_and_is_a_path_element(text: str) -> None:
    element = object_path.encode(text)
    assert object_path.decode(element) == text
    assert object_path.is_object_path("/" + element)


@pytest.mark.parametrize("element", ["", "a_", "a-b", "_4", "_zz", "_41"])
def test_what_was_not_escaped_is_refused(element: str) -> None:
    with pytest.raises(ValueError, match=r"no escaped text|utf-8"):
        object_path.decode(element)


def test_paths_of_objects() -> None:
    assert object_path.of_client("job", ":1.42", "t1") == "/im/pubsubcache1/job/1_42/t1"
    assert object_path.of_name("account", "a@b") == "/im/pubsubcache1/account/a_40b"


HEAVY = {"sqlalchemy", "slixmpp", "lxml", "nh3", "alembic", "secretstorage", "click", "rich"}


def loaded_by(code: str) -> set[str]:
    code = f"import sys; {code}; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_seam_imports_nothing_heavy() -> None:
    loaded = loaded_by("import pubsub_cached.bus")

    assert not loaded & (HEAVY | {"msgspec"})
    assert "dbus_fast" in loaded


def test_the_bus_name_is_owned_before_anything_heavy_is_imported() -> None:
    assert not loaded_by("import pubsub_cached.__main__, pubsub_cached.daemon") & HEAVY


def test_what_the_first_answer_needs_is_loaded_without_slixmpp() -> None:
    loaded = loaded_by("import pubsub_cached.cache.house, pubsub_cached.xmpp.session")

    assert "sqlalchemy.orm" in loaded
    assert not loaded & {"slixmpp", "alembic", "secretstorage", "sqlalchemy.dialects.postgresql"}

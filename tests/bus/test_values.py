"""Object paths, and what the seam costs to import."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.bus import paths


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
    assert paths.encode(text) == element
    assert paths.decode(element) == text


@given(st.text())
def test_escaping_can_be_undone_and_is_a_path_element(text: str) -> None:
    element = paths.encode(text)
    assert paths.decode(element) == text
    assert paths.is_object_path("/" + element)


@pytest.mark.parametrize("element", ["", "a_", "a-b", "_4", "_zz", "_41"])
def test_what_was_not_escaped_is_refused(element: str) -> None:
    with pytest.raises(ValueError, match=r"no escaped text|utf-8"):
        paths.decode(element)


def test_paths_of_objects() -> None:
    assert paths.object_path("job", ":1.42", "t1") == "/im/pubsubcache1/job/1_42/t1"
    assert paths.entity_path("account", "a@b") == "/im/pubsubcache1/account/a_40b"


def test_importing_the_seam_imports_nothing_heavy() -> None:
    """The bus name is owned before anything else is imported, so this decides how fast the start is."""
    code = "import sys, pubsub_cached.bus; print(*sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert not loaded & {"sqlalchemy", "slixmpp", "lxml", "msgspec", "alembic", "click", "rich"}
    assert "dbus_fast" in loaded

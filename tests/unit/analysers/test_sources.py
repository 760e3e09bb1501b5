"""Analysers from files and from installed packages."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint

import pytest

from pubsub_cached.analysers import builtin, files, plugins
from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.registry import Registry

TICKET = """
name = "Ticket"
type = "ticket"
namespace = "urn:example:ticket"
to-sync = true
version = 2

[fields.title]
path = "{urn:example:ticket}ticket/{urn:example:ticket}title"
"""


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def here(tmp_path):
    directory = tmp_path / "user"
    directory.mkdir()
    return directory


def listed(registry):
    return {record["name"]: (record["origin"], record["state"]) for record in registry.records()}


def reason(registry, name):
    return next(record["reason"] for record in registry.records() if record["name"] == name)


class TestFiles:
    def test_a_file_has_the_keys_of_the_definition(self, registry, here):
        (here / "ticket.toml").write_text(TICKET)
        files.load(registry, [here])
        ticket = registry.get("ticket")
        assert (ticket.type, ticket.to_sync, ticket.version, ticket.has_parser) == ("ticket", True, 2, True)
        assert listed(registry) == {"ticket": ("file", "active")}

    def test_the_bus_starts_the_agent_of_a_file_by_its_name(self, registry, here):
        agent = "agent = '/a'\nbus-name = 'org.example.A'\ncallbacks = ['parse']"
        (here / "mine.toml").write_text(f"name = 'x'\ntype = 'x'\nnode = 'n'\n{agent}")
        files.load(registry, [here])
        assert (listed(registry), registry.get("x").bus_name) == ({"x": ("file", "active")}, "org.example.A")

    def test_what_does_not_exist_is_no_trouble(self, registry, here):
        files.load(registry, [here / "nothing", here])
        assert registry.records() == []

    def test_a_directory_that_can_not_be_looked_at_hides_none_beside_it(self, registry, here):
        (here / "ticket.toml").write_text(TICKET)
        files.load(registry, [here / ("x" * 300), here])
        assert listed(registry) == {"ticket": ("file", "active")}

    def test_a_file_that_can_not_be_read_is_listed_with_the_reason(self, registry, here):
        (here / "mine.toml").symlink_to("/proc/self/mem")
        (here / "ticket.toml").write_text(TICKET)
        files.load(registry, [here])
        assert listed(registry) == {"mine": ("file", "invalid"), "ticket": ("file", "active")}
        assert reason(registry, "mine") == f"{here}/mine.toml: The file can't be read: Input/output error."

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"name = ", "no TOML"),
            (b"\xff\xfe", "not in UTF-8"),
            (b"type = 'x'\nnode = 'n'", "'name': missing"),
            (b"name = 'x'\ntype = 'x'", "give 'node'"),
            (b"name = 'x'\ntype = 'x'\nnode = 'n'\ncolour = 1", "'colour'"),
            (b"name = 'x'\ntype = 'x'\nnode = 'n'\n[fields.a]\npath = '/a'", "'/a'"),
            (b"name = 'x'\ntype = 'x'\nnode = 'n'\nagent = '/a'\ncallbacks = ['parse']", "'bus-name'"),
            (b"x = " + b"[" * 5000, "no TOML"),
            (b"#" * 70_000, "larger than"),
        ],
    )
    def test_a_broken_file_is_listed_under_its_stem_with_the_reason(self, registry, here, content, said):
        (here / "mine.toml").write_bytes(content)
        (here / "ticket.toml").write_text(TICKET)
        files.load(registry, [here])
        assert listed(registry) == {"mine": ("file", "invalid"), "ticket": ("file", "active")}
        assert said in reason(registry, "mine")
        assert str(here / "mine.toml") in reason(registry, "mine")

    def test_the_users_own_file_hides_the_systems(self, registry, here, tmp_path):
        system = tmp_path / "system"
        system.mkdir()
        (system / "ticket.toml").write_text(TICKET)
        (here / "ticket.toml").write_text(TICKET.replace("version = 2", "version = 9"))
        files.load(registry, [here, system])
        assert registry.get("ticket").version == 9
        assert listed(registry) == {"ticket": ("file", "active")}

    def test_two_files_of_one_name(self, registry, here):
        (here / "a.toml").write_text(TICKET)
        (here / "b.toml").write_text(TICKET)
        files.load(registry, [here])
        assert listed(registry) == {"ticket": ("file", "active"), "b": ("file", "invalid")}
        assert str(here / "a.toml") in reason(registry, "b")

    def test_the_log_says_once_what_is_wrong_with_a_file(self, registry, here, caplog):
        (here / "mine.toml").write_text("name = ")
        files.load(registry, [here])
        files.load(registry, [here])
        (said,) = caplog.messages
        assert said.startswith(f"{here / 'mine.toml'}: The file is no TOML")

    def test_a_link_that_can_not_be_followed_hides_no_file_beside_it(self, registry, here):
        (here / "a.toml").symlink_to(here / ("x" * 300))
        (here / "ticket.toml").write_text(TICKET)
        files.load(registry, [here])
        assert listed(registry) == {"ticket": ("file", "active")}

    def test_a_file_whose_name_is_no_text_is_listed_by_what_is(self, registry, here):
        (here / os.fsdecode(b"caf\xe9.toml")).write_text("=")
        (here / " .toml").write_text("=")
        told = []
        for _ in range(2):
            files.load(registry, [here])
            registry.on_change.append(lambda name, registered: told.append(name))
        assert listed(registry) == {"caf\ufffd": ("file", "invalid"), ".toml": ("file", "invalid")}
        assert f"{here}/caf\ufffd.toml" in reason(registry, "caf\ufffd")
        assert told == []

    def test_a_reason_is_text_that_the_bus_carries(self, registry, here):
        (here / "mine.toml").write_text(TICKET.replace("Ticket", "a\\u0000b"))
        files.load(registry, [here])
        assert "'name' is 'a\ufffdb'" in reason(registry, "mine")

    def test_a_name_that_is_taken_stays_its_holders(self, here):
        registry = builtin.registry()
        (here / "blog.toml").write_text(TICKET.replace("Ticket", "blog"))
        files.load(registry, [here])
        assert listed(registry)["blog"] == ("builtin", "active")
        assert listed(registry)["blog.toml"] == ("file", "invalid")
        assert "taken by the daemon itself" in reason(registry, "blog.toml")

    def test_the_reason_stays_true_when_a_client_leaves_its_name_behind(self, registry, here):
        registry.register(Definition(name="mine", type="x", namespace="urn:x", persist=True), "bus", ":1.5")
        (here / "file.toml").write_text(TICKET.replace("Ticket", "mine"))
        files.load(registry, [here])
        registry.set_state("mine", "active", owner="")
        assert "taken by a client, until somebody unregisters it" in reason(registry, "file")

    def test_a_file_whose_name_is_taken_is_listed_under_its_stem(self, here):
        registry = builtin.registry()
        (here / "Mine.toml").write_text(TICKET.replace("Ticket", "blog"))
        files.load(registry, [here])
        assert listed(registry)["mine"] == ("file", "invalid")
        assert str(here / "Mine.toml") in reason(registry, "mine")

    def test_loading_again_tells_nothing_of_a_broken_file_that_did_not_change(self, here):
        registry = builtin.registry()
        (here / "Broken.toml").write_text("=")
        (here / "blog.toml").write_text(TICKET.replace("Ticket", "blog"))
        files.load(registry, [here])
        told = []
        registry.on_change.append(lambda name, registered: told.append((name, registered)))
        (here / "ticket.toml").write_text(TICKET)
        files.load(registry, [here])
        assert told == [("ticket", True)]
        (here / "Broken.toml").write_text("type = 1")
        files.load(registry, [here])
        assert told[1:] == [("broken", False), ("broken", True)]
        (here / "Broken.toml").unlink()
        files.load(registry, [here])
        assert told[3:] == [("broken", False)]

    def test_loading_again_changes_only_what_changed(self, registry, here):
        (here / "ticket.toml").write_text(TICKET)
        (here / "other.toml").write_text(TICKET.replace("Ticket", "other"))
        (here / "bad.toml").write_text("=")
        files.load(registry, [here])
        kept = registry.get("other")
        told = []
        registry.on_change.append(lambda name, registered: told.append((name, registered)))
        (here / "ticket.toml").write_text(TICKET.replace("version = 2", "version = 3"))
        (here / "bad.toml").write_text(TICKET.replace("Ticket", "bad"))
        files.load(registry, [here])
        assert registry.get("ticket").version == 3
        assert registry.get("other") is kept
        assert listed(registry)["bad"] == ("file", "active")
        assert "other" not in {name for name, _ in told}
        (here / "ticket.toml").unlink()
        files.load(registry, [here])
        assert registry.get("ticket") is None

    def test_a_file_never_touches_other_origins(self, registry, here):
        registry.register(Definition(name="mine", type="x", node="n"), "bus", ":1.1")
        files.load(registry, [here])
        assert listed(registry) == {"mine": ("bus", "active")}

    def test_directories_follow_the_specification(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path}/a:relative:{tmp_path}/b")
        found = [str(path.relative_to(tmp_path)) for path in files.directories()]
        assert found == [f"{base}/pubsub-cached/analysers" for base in ("config", "data", "a", "b")]
        monkeypatch.delenv("XDG_DATA_DIRS")
        assert str(files.directories()[-1]) == "/usr/share/pubsub-cached/analysers"


def register_two(registry):
    registry.register(Definition(name="one", type="x", node="1", parser=lambda item: {"plugin": True}))
    registry.register(Definition(name="two", type="x", node="2"))


def register_badly(registry):
    registry.register(Definition(name="half", type="x", node="h"))
    registry.register(Definition(name="blog", type="x", node="b"))


def register_scrubs(registry):
    registry.register(Definition(name="three", type="x", node="3", scrubs={"urn:x": lambda element: False}))


def register_nothing_ever(registry):
    raise SystemExit("no licence")


def point(function, name="mine"):
    return EntryPoint(name, f"{__name__}:{function}", plugins.GROUP)


class TestPlugins:
    def test_a_plugin_registers_its_analysers(self, registry):
        plugins.load(registry, [point("register_two")])
        assert listed(registry) == {"one": ("plugin", "active"), "two": ("plugin", "active")}

    def test_a_plugin_that_fails_leaves_nothing_behind_and_says_why(self, caplog):
        registry = builtin.registry()
        before = len(registry.records())
        plugins.load(registry, [point("register_badly"), point("register_two", "good")])
        assert listed(registry)["mine"] == ("plugin", "invalid")
        assert "'blog' is taken" in reason(registry, "mine")
        assert caplog.messages == ["the analyser plugin 'mine' failed"]
        assert registry.get("half") is None
        assert registry.get("one") is not None
        assert len(registry.records()) == before + 3

    def test_a_plugin_that_fails_is_listed_though_its_name_is_taken(self):
        registry = builtin.registry()
        plugins.load(registry, [point("register_badly", "blog")])
        assert listed(registry)["blog"] == ("builtin", "active")
        assert listed(registry)[f"blog ({__name__}:register_badly)"] == ("plugin", "invalid")

    def test_what_of_any_item_is_stored_is_not_for_a_plugin_to_say(self, registry):
        plugins.load(registry, [point("register_scrubs")])
        assert listed(registry) == {"mine": ("plugin", "invalid")}
        assert reason(registry, "mine") == (
            f"The plugin {__name__}:register_scrubs failed: "
            "'scrubs' of 'three' are for what is built in; leave them out."
        )

    def test_a_plugin_that_would_end_the_daemon_does_not(self, registry):
        plugins.load(registry, [point("register_nothing_ever"), point("register_two", "good")])
        assert listed(registry)["mine"] == ("plugin", "invalid")
        assert registry.get("one") is not None

    def test_a_plugin_that_is_not_there(self, registry):
        plugins.load(registry, [EntryPoint("gone", "no.such.module:register", plugins.GROUP)])
        assert "No module named" in reason(registry, "gone")

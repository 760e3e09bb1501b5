"""The documentation's site can be built, fetches nothing, and leaves nothing out."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import lxml.html
import msgspec
import pytest

from manual.contract import Contract, contracts
from pubsub_cached import config, errors
from pubsub_cached.cli import main

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted((CHECKOUT / "docs").glob("*.md"))
EXAMPLES = sorted(file for file in (CHECKOUT / "examples").iterdir() if file.is_dir())
SOURCES = {".py", ".qml", ".cpp", ".toml", ".service"}
FETCHED = "//script/@src | //link[not(@rel='canonical')]/@href | //img/@src | //iframe/@src | //object/@data"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CI builds it: any warning, such as a dead link, is an error."""
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", directory],
        cwd=CHECKOUT,
        # Whoever builds it may have no network.
        env={
            **os.environ,
            "NO_MKDOCS_2_WARNING": "1",
            "https_proxy": "http://127.0.0.1:9",
            "http_proxy": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory


class Page:
    """One page: its anchors, and the texts of its code spans and its cells."""

    def __init__(self, file: Path) -> None:
        tree = lxml.html.parse(str(file)).getroot()
        self.text = tree.xpath("string(//article)")
        self.anchors = set(tree.xpath("//article//@id"))
        self.terms = [" ".join(found.text_content().split()) for found in tree.xpath("//article//dt")]
        self._sections = {
            heading.get("id"): list(self._until_next(heading)) for heading in tree.xpath("//article//h3[@id]")
        }

    def code(self, anchor: str) -> set[str]:
        """The code spans below a heading."""
        return {
            span.text_content()
            for element in self._sections[anchor]
            for span in element.xpath(".//code[not(ancestor::pre)]")
        }

    @staticmethod
    def _until_next(heading: lxml.html.HtmlElement) -> Iterator[lxml.html.HtmlElement]:
        for element in heading.itersiblings():
            if element.tag in ("h1", "h2", "h3"):
                return
            yield element


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    found = {
        str(address)
        for file in site.rglob("*.html")
        for address in lxml.html.parse(str(file)).xpath(FETCHED)
        if "//" in str(address)
    }
    assert found == set()


def test_no_style_fetches_anything(site: Path) -> None:
    styles = {file.name: file.read_text() for file in site.rglob("*.css")}
    assert styles
    assert [name for name, style in styles.items() if "url(http" in style or "@import" in style] == []


def test_every_program_that_is_included_is_there(site: Path) -> None:
    texts = {file.name: lxml.html.parse(str(file)).getroot().text_content() for file in site.rglob("*.html")}
    assert [name for name, text in texts.items() if re.search(r"--\s*8\s*<", text)] == []
    assert "GLib.Variant(" in texts["tutorial.html"]
    assert "QDBusInterface(" in texts["tutorial.html"]


@pytest.mark.parametrize("contract", contracts(), ids=str)
def test_each_interface_has_a_page_with_every_member_argument_and_key(site: Path, contract: Contract) -> None:
    page = Page(site / "dbus" / f"{contract.name}.html")
    for member in contract.members:
        wanted = {argument.name for argument in member.arguments}
        wanted |= {key for argument in member.arguments for key in member.doc.keys.get(argument.name, {})}
        assert wanted - page.code(member.name) == set(), member.name
        for error in member.doc.errors:
            assert error in page.text


def test_each_error_has_its_place_and_each_that_a_member_names_is_there(site: Path) -> None:
    page = Page(site / "dbus" / "errors.html")
    classes = [
        class_
        for _, class_ in inspect.getmembers(errors, inspect.isclass)
        if issubclass(class_, errors.PubSubCachedError) and class_ is not errors.StanzaError
    ]
    named = {error for contract in contracts() for member in contract.members for error in member.doc.errors}
    assert {class_.dbus_name.rpartition(".")[2] for class_ in classes} | named <= page.anchors
    for class_ in classes:
        # Its own, not that of the class above.
        assert class_.__doc__
        assert class_.dbus_name in page.text


def settings(kind: type[msgspec.Struct] = config.Config) -> Iterator[str]:
    """Every key of the configuration, as it is written."""
    for field in msgspec.structs.fields(kind):
        inner = [each for each in (field.type, *getattr(field.type, "__args__", ())) if isinstance(each, type)]
        tables = [each for each in inner if issubclass(each, msgspec.Struct)]
        if tables:
            yield from settings(tables[0])
        else:
            yield field.encode_name


def test_each_setting_is_described(site: Path) -> None:
    assert {"log-level", "items-per-node", "url", "allow", "ca-file"} <= {*settings()}
    assert {*settings()} <= {*Page(site / "man" / "pubsub-cached.toml.5.html").terms}


def commands(group: click.Group, *above: str) -> Iterator[tuple[str, ...]]:
    """Every command, with the groups it is in."""
    for name, command in group.commands.items():
        yield (*above, name)
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


def test_each_command_is_described(site: Path) -> None:
    tree = lxml.html.parse(str(site / "man" / "pubsub-cachectl.1.html"))
    headings = [heading.text_content() for heading in tree.xpath("//article//h3")]
    missing = [
        command for command in commands(main) if not any(head.startswith(" ".join(command)) for head in headings)
    ]
    assert missing == []


# The README

README = (CHECKOUT / "README.md").read_text("utf-8")


def test_the_readme_names_each_setting_and_each_command() -> None:
    words = set(re.findall(r"[a-z][a-z-]+", README))
    assert {*settings()} - words == set()
    assert {name for command in commands(main) for name in command} - words == set()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_repository_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", (CHECKOUT / name).read_text("utf-8"))
    assert [target for target in targets if not (CHECKOUT / target).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in PAGES)])
def test_scripts_that_are_named_are_there(name: str) -> None:
    named = set(re.findall(r"\bscripts/[a-z-]+", (CHECKOUT / name).read_text("utf-8")))
    assert {script for script in named if not os.access(CHECKOUT / script, os.X_OK)} <= {"scripts/environment"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_can_be_read_in_one_sitting(example: Path) -> None:
    """Each is a whole program to copy from, in less than 300 lines of all its files but the README."""
    files = [file for file in example.rglob("*") if file.suffix in SOURCES or file.name == "CMakeLists.txt"]
    assert 0 < sum(len(file.read_text().splitlines()) for file in files) < 300

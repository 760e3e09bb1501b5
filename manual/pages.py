"""The three pages of the manual: the daemon, its configuration, and the command line; for man(1) or in Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, TypeAlias

import click
import msgspec

from pubsub_cached import __version__
from pubsub_cached.__main__ import parser
from pubsub_cached.cli import main
from pubsub_cached.cli.failure import MEANINGS
from pubsub_cached.cli.program import SECTIONS
from pubsub_cached.config import Config

from . import markdown, roff

Page: TypeAlias = roff.Page | markdown.Page
Language: TypeAlias = type[roff.Page] | type[markdown.Page]

VERSION = f"pubsub-cached {__version__}"
USER = "User Commands"
CONFIGURATION = "$XDG_CONFIG_HOME/pubsub-cached/config.toml"
DATA = "$XDG_DATA_HOME/pubsub-cached"

EXAMPLES = [
    ("The newest posts of a blog, from the cache once it is there:", "pubsub-cachectl get pubsub.example.org blog"),
    ("Their titles alone:", "pubsub-cachectl get pubsub.example.org blog --json | jq -r '.data.title[0].text'"),
    ("Your own microblog:", "pubsub-cachectl get . urn:xmpp:microblog:0"),
    ("Events from December on, with a word in them:", "pubsub-cachectl search concert --where start '>=' 2026-12-01"),
    ("A note to yourself:", "echo \"<note xmlns='urn:example'>Milk</note>\" | pubsub-cachectl publish . notes"),
    ("All that is cached, as a backup:", "pubsub-cachectl export -o backup.jsonl"),
    ("A password from a password manager:", "pass show xmpp | pubsub-cachectl account password alice@example.org"),
]


def pages(language: Language = roff.Page) -> dict[str, str]:
    """Each page's text by its name, which is that of its file for man(1)."""
    return {
        "pubsub-cached.1": daemon(language),
        "pubsub-cached.toml.5": configuration(language),
        "pubsub-cachectl.1": command_line(language),
    }


def daemon(language: Language) -> str:
    """pubsub-cached(1), from its parser."""
    program = parser()
    page = language(program.prog, 1, VERSION, "a cache of XMPP PubSub on the session bus", USER)
    page.section("synopsis")
    page.synopsis(" ".join(program.format_usage().removeprefix("usage: ").split()))
    page.section("description")
    page.text(program.description or "")
    page.text(
        "Programs need not start it: the session bus does when one of them calls im.pubsubcache1. Accounts come from "
        "the configuration, or from 'pubsub-cachectl account add'."
    )
    page.section("options")
    page.terms(_arguments(program))
    page.section("exit status")
    said = (program.epilog or "").removeprefix("exit status: ")
    page.terms((status, meaning) for status, _, meaning in (part.partition(" ") for part in said.split(", ")))
    page.section("signals")
    page.terms([("SIGTERM, SIGINT", "Answer the running calls, close the database, and end.")])
    page.section("files")
    page.terms(
        [
            (CONFIGURATION, "The configuration; it need not exist."),
            (f"{DATA}/cache.sqlite3", "The database, unless the configuration or --database names another."),
            (f"{DATA}/cache.sqlite3.lock", "Locked by the daemon that has the database; has its process number."),
            (f"{DATA}/secrets.json", "Passwords, where no keyring (Secret Service) runs."),
        ]
    )
    page.section("see also")
    page.text("pubsub-cachectl(1), pubsub-cached.toml(5)")
    return str(page)


def configuration(language: Language) -> str:
    """pubsub-cached.toml(5), from the types of the configuration."""
    page = language("pubsub-cached.toml", 5, VERSION, "configuration of pubsub-cached", "File Formats")
    page.section("synopsis")
    page.text(CONFIGURATION)
    page.section("description")
    page.text(
        "A TOML file. Every key but an account's jid may be missing, and so may the file. File names may be relative "
        "to the file's directory or begin with ~; only the path in url has to be absolute. With a mistake in the file "
        "the daemon does not start: it ends with status 2 and names file, key and reason."
    )
    (schema,), types = msgspec.json.schema_components([Config], ref_template="{name}")
    whole = types[schema["$ref"]]
    tables = {key: kind for key, kind in whole["properties"].items() if _table(kind)}
    page.terms(_keys({key: kind for key, kind in whole["properties"].items() if key not in tables}))
    for key, kind in tables.items():
        page.section(f"[[{key}]]" if kind.get("type") == "array" else f"[{key}]")
        page.terms(_keys(types[_table(kind)]["properties"]))
    page.section("passwords")
    page.text(
        "An account with neither password-file nor password-command uses the password that 'pubsub-cachectl account "
        "password' stored."
    )
    page.section("see also")
    page.text("pubsub-cached(1), pubsub-cachectl(1)")
    return str(page)


def command_line(language: Language) -> str:
    """pubsub-cachectl(1), from its commands."""
    page = language("pubsub-cachectl", 1, VERSION, "manage pubsub-cached and read from it", USER)
    page.section("synopsis")
    page.synopsis("pubsub-cachectl COMMAND [OPTIONS] [ARGUMENT]...")
    page.section("description")
    page.text(main.help or "")
    page.text(
        "Results go to stdout, remarks on them to stderr. On a terminal results are tables, elsewhere plain columns; "
        "times are local. With --json each line is one record with the keys of the D-Bus interface."
    )
    for title, commands in SECTIONS.items():
        page.section(title)
        for command in commands:
            _command(page, command, click.Context(main, info_name="pubsub-cachectl"))
    page.section("exit status")
    page.terms((str(int(status)), f"{meaning[0].upper()}{meaning[1:]}.") for status, meaning in MEANINGS.items())
    page.section("examples")
    for what, line in EXAMPLES:
        page.text(what)
        page.example([line])
    page.section("see also")
    page.text("pubsub-cached(1), pubsub-cached.toml(5), busctl(1)")
    return str(page)


def _arguments(program: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in program._actions:
        value = f" {action.metavar}" if action.metavar else ""
        said = f"One of {', '.join(action.choices)}." if action.choices else _sentence(action.help or "")
        yield ", ".join(f"{option}{value}" for option in action.option_strings), said


def _command(page: Page, command: click.Command, parent: click.Context) -> None:
    context = click.Context(command, info_name=command.name, parent=parent)
    page.subsection(" ".join([context.command_path.partition(" ")[2], *command.collect_usage_pieces(context)]))
    page.text(command.help or "")
    page.terms(_option(param) for param in command.params if isinstance(param, click.Option))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            _command(page, child, context)


def _option(option: click.Option) -> tuple[str, str]:
    """An option with its value, and what it means; the library's own words differ from version to version."""
    value = option.metavar or option.type.name.upper()
    if isinstance(option.type, click.Choice) and not option.metavar:
        value = "|".join(map(str, option.type.choices))
    names = ", ".join(option.opts) + (f" / {', '.join(option.secondary_opts)}" if option.secondary_opts else "")
    default = f" (default: {option.default:g})" if option.show_default else ""
    return names if option.is_flag else f"{names} {value}", _sentence(option.help or "") + default


def _keys(properties: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, kind in properties.items():
        default = kind.get("default")
        shown = f" (default: {msgspec.json.encode(default).decode()})" if default or default is False else ""
        yield key, kind["description"] + shown


def _table(kind: dict[str, Any]) -> str:
    """The type behind a key that is a table, or a list of tables."""
    found: str = kind.get("$ref") or kind.get("items", {}).get("$ref", "")
    return found


def _sentence(text: str) -> str:
    """A help text as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "]")) else ".")

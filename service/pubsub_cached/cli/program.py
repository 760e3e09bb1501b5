"""The commands put together."""

from __future__ import annotations

import os
from typing import Any

import click

from .. import __version__
from ..errors import BadConfiguration
from . import streams
from .account import account
from .analysers import analysers, match
from .completing import completion
from .discovery import discover
from .doctor import doctor
from .export import export
from .failure import MEANINGS, Failure, Status
from .items import get
from .maintenance import check, compact
from .nodes import nodes
from .publishing import publish, retract
from .removal import purge, reset
from .search import search
from .setup import setup
from .status import status
from .subscriptions import subscribe, subscriptions, unsubscribe
from .sync import sync
from .watch import watch

SECTIONS = {
    "Reading": (get, search, nodes, watch, export),
    "Looking after the cache": (status, sync, purge, reset, check, compact, doctor),
    "Accounts": (account,),
    "At the services": (discover, publish, retract, subscribe, unsubscribe, subscriptions),
    "Analysers": (analysers, match),
    "Installation": (setup, completion),
}


class Sections(click.Group):
    """A group whose help lists its commands by subject."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        streams.prepare()
        try:
            return super().make_context(info_name, args, parent, **extra)
        except OSError as error:
            raise streams.explain(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except OSError as error:
            raise streams.explain(error) from None
        except BadConfiguration as error:
            raise Failure(Status.REFUSED, str(error)) from None
        except KeyboardInterrupt:
            raise Failure(Status.INTERRUPTED, "") from None
        except click.Abort as abort:
            # A prompt makes it of either, and stays on its line.
            if isinstance(abort.__context__, KeyboardInterrupt):
                click.echo(err=True)
                raise Failure(Status.INTERRUPTED, "") from None
            raise
        except click.NoSuchOption as error:
            if error.possibilities:
                raise
            sentence = f"No such option '{error.option_name}'. Write -- before an argument that begins with -."
            raise click.NoSuchOption(error.option_name, sentence, ctx=error.ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.commands)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [
                        ((command.name or "").ljust(width), command.get_short_help_str(formatter.width))
                        for command in commands
                    ]
                )


EXIT = "Exit status: " + ", ".join(f"{int(status)} {meaning}" for status, meaning in MEANINGS.items()) + "."


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT)
@click.version_option(__version__, prog_name="pubsub-cachectl")
def main() -> None:
    """Manage pubsub-cached, the cache of XMPP PubSub on the session bus, and read from it.

    A node is named by SERVICE, the service's JID or "." for the account's own PEP service, and NODE, its name. Write
    -- before an argument that begins with -.
    """


for _commands in SECTIONS.values():
    for _command in _commands:
        main.add_command(_command)

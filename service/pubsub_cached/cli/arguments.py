"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from . import completing, times

F = TypeVar("F", bound=Callable[..., Any])

OWN = "."
"""What stands for the account's own PEP service where a SERVICE is asked for."""


def service_of(given: str) -> str:
    """The service as the daemon takes it."""
    return "" if given == OWN else given


def node_arguments(command: F) -> F:
    """``SERVICE NODE`` and ``--account``."""
    command = click.argument("node", shell_complete=completing.nodes)(command)
    return service_argument(command)


def service_argument(command: F) -> F:
    """``SERVICE`` and ``--account``."""
    argument = click.argument(
        "service", shell_complete=completing.services, callback=lambda ctx, param, value: service_of(value)
    )
    return account_option(argument(command))


account_option = click.option(
    "--account",
    "-a",
    metavar="JID",
    default="",
    shell_complete=completing.accounts,
    help="The account; needed only when several are enabled.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one record a line.")

wait_option = click.option(
    "--wait",
    "seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    default=3600.0,
    show_default=True,
    help="Wait so long for the end; after that the job goes on by itself.",
)


class Time(click.ParamType):
    """A time, as milliseconds since the epoch."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return times.parse(value)
        except (ValueError, OverflowError):
            self.fail(
                f"'{value}' is no time; write 2026-11-21, 2026-11-21T10:46 or an age such as 30d or 12h.", param, ctx
            )


class Pair(click.ParamType):
    """``KEY=VALUE``."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value[0], value[1]
        key, equals, rest = str(value).partition("=")
        if not equals or not key:
            self.fail(f"'{value}' is no KEY=VALUE.", param, ctx)
        return key, rest

"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any, TypeVar

import click

from . import completing, times

F = TypeVar("F", bound=Callable[..., Any])

OWN = "."
"""What stands for the account's own PEP service where a SERVICE is asked for."""


class WholeNumber(click.IntRange):
    """A whole number within a range; what is none is called that, and not "an integer range"."""

    name = "whole number"


class Number(click.FloatRange):
    """A number within a range, which NaN is in none of."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if isnan(number):
            self.fail(f"{value!r} is not a valid number.", param, ctx)
        return number


def service_of(given: str) -> str:
    """The service as the daemon takes it."""
    return "" if given == OWN else given


def node_arguments(command: F) -> F:
    """``SERVICE NODE`` and ``--account``."""
    command = click.argument("node", shell_complete=completing.nodes)(command)
    return service_argument(command)


def service_argument(command: F) -> F:
    """``SERVICE`` and ``--account``."""
    argument = click.argument("service", type=service_of, shell_complete=completing.services)
    return account_option(argument(command))


def _account_option(said: str) -> Callable[[F], F]:
    return click.option("--account", "-a", metavar="JID", default="", shell_complete=completing.accounts, help=said)


account_option = _account_option("The account; needed only when several are enabled.")
any_account_option = _account_option("Only as this account sees them.")


def chosen_options(command: F) -> F:
    """``--account``, ``--service``, ``--node``, ``--type`` and ``--subtype``, as lists."""
    for names, metavar, type_, complete, said in reversed(
        (
            (("--account", "-a", "accounts"), "JID", str, completing.accounts, "As this account sees them."),
            (("--service", "services"), "JID", service_of, completing.services, "Of nodes at this service."),
            (("--node", "nodes"), "NODE", str, completing.nodes, "Of nodes with this name."),
            (("--type", "types"), "TYPE", str, None, "Of this type, such as blog."),
            (("--subtype", "subtypes"), "SUBTYPE", str, None, "Of this subtype, such as microblog."),
        )
    ):
        option = click.option(*names, metavar=metavar, type=type_, multiple=True, shell_complete=complete, help=said)
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one record per line.")

wait_option = click.option(
    "--wait",
    "seconds",
    metavar="SECONDS",
    type=Number(min=0.1),
    default=3600,
    show_default=True,
    help="Wait so long for the end; after that the job goes on by itself.",
)


def time_callback(context: click.Context, parameter: click.Parameter, given: str | None) -> int | None:
    """The value of an option that is a time, in milliseconds since the epoch."""
    if given is None:
        return None
    try:
        return times.parse(given)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"'{given}' is no time; write 2026-11-21, 2026-11-21T10:46 or an age such as 30d or 12h."
        ) from None


def fields_option(said: str) -> Callable[[F], F]:
    """``--option``, as often as there are fields of a form."""
    return click.option(
        "--option",
        "options",
        metavar="KEY=VALUE",
        multiple=True,
        callback=_fields,
        help=f"{said}; a key given again makes a list.",
    )


def _fields(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, tuple[str, Any]]:
    """The fields of a form from ``KEY=VALUE``: a string each, or a list for a key given several times."""
    values: dict[str, list[str]] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"'{pair}' is no KEY=VALUE.")
        values.setdefault(key, []).append(value)
    return {key: ("s", found[0]) if len(found) == 1 else ("as", found) for key, found in values.items()}

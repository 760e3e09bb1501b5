"""``doctor``: look at everything that has to be right, and say how to mend what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from . import output
from .arguments import json_option
from .failure import Status
from .running import run_alone

if TYPE_CHECKING:
    from .diagnosis import Finding

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Find what keeps things from working, and how to mend it.

    Examines bus, activation, unit, daemon, database, clock, accounts, analysers and subscriptions. Changes nothing,
    but starts the daemon where it can be started. The status is 5 when there is something to mend.

    JSON: one record per finding, with level (ok, note or problem), subject, sentence and remedy.
    """
    if run_alone(_examine(as_json)):
        context.exit(Status.FINDINGS)


async def _examine(as_json: bool) -> bool:
    """Print the findings as they come; whether there is a problem among them."""
    from .diagnosis import examine

    problem = False
    async for finding in examine():
        problem = problem or finding.level == "problem"
        if as_json:
            output.json_line(finding._asdict())
        else:
            _show(finding)
    return problem


def _show(finding: Finding) -> None:
    mark, colour = _MARKS[finding.level]
    text = output.clean(f"{finding.subject}: {finding.sentence}")
    click.echo(f"{click.style(mark.ljust(7), fg=colour)}  {text}")
    if finding.remedy:
        output.say(f"{' ' * 9}→ {finding.remedy}")

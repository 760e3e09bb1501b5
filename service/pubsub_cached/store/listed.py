"""Rows of strings that are given to a statement, however many, by one parameter: as a JSON list of lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import FromClause, FunctionElement, Integer, Text, literal, literal_column, select
from sqlalchemy.ext.compiler import compiles


class _Elements(FunctionElement[Any]):
    name = "elements"
    inherit_cache = True


@compiles(_Elements)
def _in_a_file(element: _Elements, compiler: Any, **kwargs: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kwargs)})"


@compiles(_Elements, "postgresql")
def _on_a_server(element: _Elements, compiler: Any, **kwargs: Any) -> str:
    return f"jsonb_array_elements(CAST({compiler.process(element.clauses, **kwargs)} AS JSONB))"


def rows(given: Sequence[Sequence[str]], width: int) -> FromClause:
    """The rows, each of so many strings."""
    each = _Elements(literal(json.dumps(given), Text)).table_valued("value").alias("each")
    places = [literal_column(str(place), Integer) for place in range(width)]
    return select(*(each.c.value.op("->>", return_type=Text())(place) for place in places)).subquery("given")

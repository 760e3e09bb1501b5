"""JSON Schemas of what the built-in parsers give, for frontends."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

from .builtin import READING

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of ``data`` (JSON Schema 2020-12) by an item's ``type/subtype``."""
    return {
        name: {"$schema": DIALECT, "title": name, **_without_defaults(msgspec.json.schema(shape))}
        for module in READING
        for name, shape in module.SHAPES.items()
    }


def _without_defaults(schema: Any) -> Any:
    """What is absent is unknown, not empty, so no value stands for it; descriptions lose their indentation."""
    if isinstance(schema, dict):
        return {
            key: cleandoc(value) if key == "description" and isinstance(value, str) else _without_defaults(value)
            for key, value in schema.items()
            # A property may have that name, too; its value is a schema.
            if key != "default" or (isinstance(value, dict) and ("type" in value or "$ref" in value))
        }
    if isinstance(schema, list):
        return [_without_defaults(each) for each in schema]
    return schema

"""A plugin: recipes become data within the daemon.

<recipe xmlns='urn:example:recipe' serves='4'><name>Leek soup</name><step>Cut.</step><step>Cook.</step></recipe>
"""

from __future__ import annotations

from pubsub_cached.analysers.definition import Definition
from pubsub_cached.analysers.item import Item
from pubsub_cached.analysers.plugins import Registrar

NAMESPACE = "urn:example:recipe"


def parse(item: Item) -> dict[str, object]:
    """The object that is stored as ``data``; an exception would mark this item and no other."""
    recipe = item.element
    name = recipe.findtext(f"{{{NAMESPACE}}}name")
    if not name:
        item.error("A recipe has to have a name.")
    data: dict[str, object] = {
        "name": name or "",
        "steps": [step.text for step in recipe.findall(f"{{{NAMESPACE}}}step")],
    }
    if (serves := recipe.get("serves")) is not None:
        if serves.isdecimal():
            data["serves"] = int(serves)
        else:
            item.unreadable("serves", serves, "whole number")
    return data


def register(registry: Registrar) -> None:
    """Called once at the daemon's start."""
    registry.register(
        Definition(name="example.recipes", type="recipe", namespace=NAMESPACE, to_sync=True, parser=parse)
    )

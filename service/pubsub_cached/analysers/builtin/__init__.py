"""The analysers that come with the daemon, a module each."""

from __future__ import annotations

from ..registry import Registry
from . import blog, excluded

MODULES = (blog, excluded)


def registry() -> Registry:
    """A registry with all built-in analysers."""
    made = Registry()
    for module in MODULES:
        for definition in module.DEFINITIONS:
            made.register(definition)
    return made

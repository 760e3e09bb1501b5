"""The analysers that come with the daemon, a module each.

A module has ``DEFINITIONS``, one for each of its nodes that differs in any key, and ``SHAPES``: the struct of
``data`` by ``type/subtype``.
"""

from __future__ import annotations

from ..registry import Registry
from . import (
    attachments,
    avatar,
    blog,
    bookmarks,
    encrypted,
    event,
    excluded,
    files,
    form,
    profile,
    status,
    subscriptions,
)

READING = (
    blog,
    event,
    attachments,
    bookmarks,
    avatar,
    profile,
    status,
    subscriptions,
    form,
    files,
    encrypted,
)
MODULES = (*READING, excluded)


def registry() -> Registry:
    """A registry with all built-in analysers."""
    made = Registry()
    for module in MODULES:
        for definition in module.DEFINITIONS:
            made.register(definition)
    return made

"""Analysers from installed Python packages: entry points of one group, each a function that registers them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from ..errors import InvalidAnalyser, PubSubCachedError
from .definition import Definition
from .registry import Registry

GROUP = "pubsub_cached.analysers"

log = logging.getLogger(__name__)


class Registrar:
    """What a plugin's ``register(registry)`` is given."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.names: list[str] = []

    def register(self, definition: Definition) -> Definition:
        """Add an analyser.

        Raises InvalidAnalyser, Conflict.
        """
        if definition.scrubs:
            raise InvalidAnalyser(f"'scrubs' of '{definition.name}' are for what is built in; leave them out.")
        registered = self._registry.register(definition, "plugin")
        self.names.append(registered.name)
        return registered


def load(registry: Registry, found: Iterable[EntryPoint] | None = None) -> None:
    """Let every plugin register its analysers; one that fails is listed as invalid and leaves none behind."""
    for plugin in entry_points(group=GROUP) if found is None else found:
        registrar = Registrar(registry)
        try:
            plugin.load()(registrar)
        except KeyboardInterrupt:
            raise
        # One that calls sys.exit raises no Exception.
        except BaseException as error:
            log.warning("the analyser plugin '%s' failed", plugin.name, exc_info=error)
            for name in registrar.names:
                registry.unregister(name)
            taken = registry.get(plugin.name) is not None
            name = f"{plugin.name} ({plugin.value})" if taken else plugin.name
            # The registry's own errors are sentences.
            why = error.message if isinstance(error, PubSubCachedError) else f"{error!r}."
            registry.register_invalid(name, f"The plugin {plugin.value} failed: {why}", "plugin")

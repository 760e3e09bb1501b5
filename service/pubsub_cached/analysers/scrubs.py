"""What takes secrets out of items: of a node's own analyser, and wherever else their kind occurs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lxml.etree import _Element

from .definition import Definition
from .item import ItemContext

# Takes secrets out of a payload, and says whether there were any.
Scrub = Callable[[_Element], bool]


class Scrubs:
    """Those of all analysers that there are; never changed, for threads look them up while analysers come and go."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        self._by_namespace = {space: scrub for each in definitions for space, scrub in each.scrubs.items() if space}

    def of(self, definition: Definition | None, context: ItemContext) -> Scrub | None:
        """For an item of a node with this analyser: whatever is there, and wherever else their kind occurs."""
        if definition is not None and "" in definition.scrubs:
            return definition.scrubs[""]
        if (scrub := self._by_namespace.get(context.namespace)) is not None:
            return scrub
        return next((scrub for namespace, scrub in self._by_namespace.items() if namespace in context.payload), None)

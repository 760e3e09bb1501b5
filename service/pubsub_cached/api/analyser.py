"""``im.pubsubcache1.Analyser``: one analyser, watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from .. import object_path
from ..bus import Interface
from .options import Table

if TYPE_CHECKING:
    from ..analysers.registry import Entry


def path(name: str) -> str:
    """The object of an analyser."""
    return object_path.of_name("analyser", name)


class Analyser(Interface):
    """One analyser; its definition does not change, a new one is a new object at the same path."""

    name: ClassVar[str] = "im.pubsubcache1.Analyser"
    options: ClassVar[Mapping[str, Table]] = {}

    def __init__(self, entry: Entry, resume: Callable[[str], None]) -> None:
        super().__init__()
        self._entry = entry
        self._resume = resume

    @property
    def private(self) -> bool:
        """Whether sandboxed clients are told nothing of it."""
        return self._entry.definition is not None and self._entry.definition.private

    @property
    def Name(self) -> str:
        return self._entry.name

    @property
    def Type(self) -> str:
        return self._entry.definition.type if self._entry.definition is not None else ""

    @property
    def Priority(self) -> int:
        return self._entry.definition.priority if self._entry.definition is not None else 0

    @property
    def Origin(self) -> str:
        return self._entry.origin

    @property
    def Definition(self) -> str:
        return self._entry.definition.to_json() if self._entry.definition is not None else ""

    @property
    def Owner(self) -> str:
        return self._entry.owner

    @property
    def HasParser(self) -> bool:
        return self._entry.definition is not None and self._entry.definition.has_parser

    @property
    def State(self) -> str:
        return self._entry.state

    @property
    def Pending(self) -> int:
        return self._entry.pending

    @property
    def Failures(self) -> int:
        return self._entry.failures

    def Resume(self) -> None:
        self._resume(self._entry.name)

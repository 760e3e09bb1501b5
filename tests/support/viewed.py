"""The owner of a view, as a frontend holds one: a list that nothing but the view's signals changes."""

from __future__ import annotations

import asyncio
from typing import Any

from pubsub_cached.cache.house import House
from pubsub_cached.cache.view import Change, View
from pubsub_cached.cache.view_source import ViewSource
from pubsub_cached.records import ItemRecord
from pubsub_cached.store import nodes, words
from pubsub_cached.store.query import parse, parse_order
from pubsub_cached.store.search import Matching, Search, find


def search(text: str = "", query: str = "", order: str = "") -> Search:
    """What CreateView is given."""
    matching = Matching(words=words.parse(text), query=parse(query), states=tuple(sorted(nodes.SHOWN)))
    return Search(matching=matching, order=parse_order(order) if order else ())


class Owner:
    """Holds what it was told, and checks that each signal can be applied. told: the signals, in order."""

    def __init__(self, house: House, wanted: Search, size: int = 100, name: str = ":1.7") -> None:
        self.house = house
        self.wanted = wanted
        self.size = size
        self.held: list[ItemRecord] = []
        self.told: list[tuple[str, Any]] = []
        self.total: int | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self.view: View = house.views.create(ViewSource(house.store, wanted), size, name)
        self.view.listener = self

    def fresh(self) -> list[ItemRecord]:
        """What a search finds now."""
        found = self.house.store.read_now(find, Search(**_fields(self.wanted) | {"limit": self.size}))
        return found.items

    async def settled(self) -> list[ItemRecord]:
        """What it holds, once it was told everything."""
        await self.house.store.write(lambda tx: None)
        await self.view.settled()
        return self.plain()

    def plain(self) -> list[ItemRecord]:
        """What it holds, as a search would give it."""
        return [{key: value for key, value in item.items() if key != "index"} for item in self.held]  # type: ignore[misc]

    @property
    def ids(self) -> list[str]:
        return [item["id"] for item in self.held]

    # The listener

    def items(self, change: Change, items: list[ItemRecord]) -> None:
        assert 0 < len(items) <= 100
        self.told.append((change, [item["id"] for item in items]))
        for item in items:
            there = [held for held in self.held if held["key"] == item["key"]]
            assert bool(there) == (change == "changed")
            for held in there:
                self.held.remove(held)
            assert item["index"] <= len(self.held)
            self.held.insert(item["index"], item)
        assert len(self.held) <= self.size

    def removed(self, keys: list[str]) -> None:
        assert 0 < len(keys) <= 100
        assert len(set(keys)) == len(keys)
        assert {item["key"] for item in self.held}.issuperset(keys)
        self.told.append(("removed", [item["id"] for item in self.held if item["key"] in keys]))
        self.held = [item for item in self.held if item["key"] not in keys]

    def ready(self, total: int) -> None:
        self.told.append(("ready", total))
        self.total = total

    def reset(self) -> None:
        self.told.append(("reset", None))
        self.held.clear()

    async def attentive(self) -> None:
        await self.reads.wait()


def _fields(wanted: Search) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in wanted.__struct_fields__}

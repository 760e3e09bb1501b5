"""The owner of a view, as a frontend holds one: a list that nothing but the view's signals changes."""

from __future__ import annotations

import asyncio
from typing import Any

from pubsub_cached.cache.house import House
from pubsub_cached.cache.options import SearchOptions, ViewOptions
from pubsub_cached.cache.views.telling import Change
from pubsub_cached.cache.views.view import View
from pubsub_cached.records import ItemRecord

from .cached import answered


class Owner:
    """Holds what it was told, and checks that each signal can be applied. told: the signals, in order."""

    def __init__(
        self, house: House, view: View, wanted: tuple[str, str, str], size: int, *, sandboxed: bool = False
    ) -> None:
        self.house = house
        self.view = view
        self.wanted = wanted
        self.sandboxed = sandboxed
        self.size = self.most = size
        self.held: list[ItemRecord] = []
        self.told: list[tuple[str, Any]] = []
        self.total: int | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        view.listener = self

    @classmethod
    async def create(
        cls,
        house: House,
        text: str = "",
        query: str = "",
        order: str = "",
        size: int = 100,
        name: str = ":1.7",
        *,
        sandboxed: bool = False,
    ) -> Owner:
        """A view that is not started yet."""
        seen = house.privacy.public if sandboxed else None
        view = await house.views.create(text, query, ViewOptions(order=order, window=size, analysers=seen), name)
        return cls(house, view, (text, query, order), size, sandboxed=sandboxed)

    async def fresh(self) -> list[ItemRecord]:
        """What a search finds now."""
        text, query, order = self.wanted
        seen = self.house.privacy.public if self.sandboxed else None
        options = SearchOptions(order=order, limit=self.size, analysers=seen)
        items, *_ = await answered(self.house.searches.search(text, query, options))
        return items

    async def settled(self) -> list[ItemRecord]:
        """What it holds, once it was told everything that is committed."""
        await self.house.store.write(lambda tx: None)
        await self.view.settled()
        self.most = self.size
        return self.plain()

    def plain(self) -> list[ItemRecord]:
        """What it holds, as a search would give it."""
        return [{key: value for key, value in item.items() if key != "index"} for item in self.held]  # type: ignore[misc]

    @property
    def ids(self) -> list[str]:
        return [item["id"] for item in self.held]

    def resize(self, size: int) -> None:
        """Hold more or fewer; until that is settled it may be told as many as before."""
        self.size, self.most = size, max(self.most, size)
        self.view.resize(size)

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
        assert len(self.held) <= self.most

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

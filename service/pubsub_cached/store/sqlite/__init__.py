"""SQLite: one file of the user's own. What is said in its own SQL, as ``store.dialect.Dialect`` lists it."""

from __future__ import annotations

from .documents import (
    any_element,
    at,
    contains,
    create_path_index,
    drop_path_index,
    ilike,
    like,
    lowered,
    narrowed,
    path_indexes,
    sort_keys,
    unindexed,
)
from .texts import (
    compare_text_index,
    holding,
    holding_each,
    matches,
    matching,
    rebuild_text_index,
    store_texts,
    text_row,
    text_source,
)
from .upkeep import compact, damage, free, plan, rebuild_indexes, size, version

NAME = "sqlite"

__all__ = [
    "NAME",
    "any_element",
    "at",
    "compact",
    "compare_text_index",
    "contains",
    "create_path_index",
    "damage",
    "drop_path_index",
    "free",
    "holding",
    "holding_each",
    "ilike",
    "like",
    "lowered",
    "matches",
    "matching",
    "narrowed",
    "path_indexes",
    "plan",
    "rebuild_indexes",
    "rebuild_text_index",
    "size",
    "sort_keys",
    "store_texts",
    "text_row",
    "text_source",
    "unindexed",
    "version",
]

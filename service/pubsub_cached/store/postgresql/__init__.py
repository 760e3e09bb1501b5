"""PostgreSQL: a database on a server. What is said in its own SQL, as ``store.dialect.Dialect`` lists it."""

from __future__ import annotations

from .documents import any_element as any_element
from .documents import at as at
from .documents import contains as contains
from .documents import create_path_index as create_path_index
from .documents import drop_path_index as drop_path_index
from .documents import ilike as ilike
from .documents import like as like
from .documents import lowered as lowered
from .documents import narrowed as narrowed
from .documents import path_indexes as path_indexes
from .documents import sort_keys as sort_keys
from .documents import unindexed as unindexed
from .texts import compare_text_index as compare_text_index
from .texts import holding as holding
from .texts import holding_each as holding_each
from .texts import matches as matches
from .texts import matching as matching
from .texts import rebuild_text_index as rebuild_text_index
from .texts import store_texts as store_texts
from .texts import text_row as text_row
from .texts import text_source as text_source
from .upkeep import compact as compact
from .upkeep import damage as damage
from .upkeep import free as free
from .upkeep import plan as plan
from .upkeep import rebuild_indexes as rebuild_indexes
from .upkeep import size as size
from .upkeep import version as version

NAME = "postgresql"

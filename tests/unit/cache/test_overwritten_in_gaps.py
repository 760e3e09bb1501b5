"""What a gap shows of a service: where it put the items that were overwritten in it."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from pubsub_cached.cache.nodes.facts import learnt
from pubsub_cached.store.items.outline import Line, Outline
from pubsub_cached.store.rows import StoredItem
from tests.support.callbacks import taking

FEW, MANY = 1_000, 16_000


def gap(created: list[int], order: list[int], overwritten: set[int]) -> tuple[Outline, list[StoredItem]]:
    """A copy whose items were made so, and what the service has now, in its order."""
    after = [StoredItem(str(number), payload=f"<a n='{number in overwritten}'/>") for number in order]
    as_it_was = StoredItem("0", payload="<a n='False'/>").hash
    lines = tuple(Line(str(number), as_it_was, made) for number, made in enumerate(created))
    return Outline(lines, 0), after


def shown(created: list[int], order: list[int], overwritten: set[int]) -> bool | None:
    """The same, said by each pair of an overwritten item and a witness."""
    pairs = [
        order.index(witness) > order.index(number)
        for number in overwritten
        for witness in range(number + 1, len(created))
        if witness not in overwritten and created[witness] > created[number]
    ]
    return None if not pairs else not any(pairs)


@st.composite
def gaps(draw: st.DrawFn) -> tuple[list[int], list[int], set[int]]:
    created = draw(st.lists(st.integers(0, 8), max_size=8))
    numbers = range(len(created))
    overwritten = draw(st.sets(st.sampled_from(numbers))) if created else set()
    return created, draw(st.permutations(numbers)), overwritten


@given(gaps())
def test_any_witness_counts(found: tuple[list[int], list[int], set[int]]) -> None:
    before, after = gap(*found)
    assert learnt(before, after, ()) is shown(*found)


def learning(count: int) -> float:
    """Seconds of the processor for a gap in which every other item was overwritten and moved."""
    moved = list(range(1, count, 2))
    before, after = gap(list(range(count)), [*range(0, count, 2), *moved], set(moved))
    assert learnt(before, after, ()) is True
    return taking(partial(learnt, before, after, ()))


def test_many_overwrites_in_a_large_node_keep_nobody_waiting() -> None:
    """Against few in the same run: not each is held against all others."""
    assert learning(MANY) < learning(FEW) * 4 * MANY / FEW

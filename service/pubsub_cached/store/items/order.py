"""Places in an order: numbers that say what comes before what, changed as little as can be.

A cursor holds such a number, so one that stays where it is keeps every cursor good.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence

from ..transaction import STRIDE


def arrange(places: Sequence[int | None], fresh: Callable[[], int]) -> list[int]:
    """Strictly ascending places for rows in this order; None has none yet.

    Whatever moves does so towards the end, for it was published again: those that stand after all that precede them
    stay, however few they are. fresh: a place after all others.
    """
    staying = _staying(places)
    arranged: list[int] = []
    for position, index in enumerate([*staying, len(places)]):
        low = arranged[-1] if arranged else None
        count = index - len(arranged)
        high = places[index] if index < len(places) else None
        between = _between(low, high, count, fresh)
        if between is None:
            # No room: this and all that follow move to the end.
            return arranged + [fresh() for _ in places[len(arranged) :]]
        arranged += between
        if high is not None:
            arranged.append(high)
        assert len(arranged) == index + (position < len(staying))
    return arranged


def made_room(ids: Iterable[str], stored: Container[str]) -> bool:
    """Whether an item that is not stored precedes, in a service's order, one that is: it went for what is stored."""
    unknown = False
    for id_ in ids:
        if id_ not in stored:
            unknown = True
        elif unknown:
            return True
    return False


def _between(low: int | None, high: int | None, count: int, fresh: Callable[[], int]) -> list[int] | None:
    """``count`` places above ``low`` and below ``high``, or None when there is no room."""
    if high is None:
        return [fresh() for _ in range(count)]
    if low is None:
        return [high - STRIDE * (count - number) for number in range(count)]
    if high - low <= count:
        return None
    return [low + (high - low) * (number + 1) // (count + 1) for number in range(count)]


def _staying(places: Sequence[int | None]) -> list[int]:
    """Indexes of the places that are above all before them."""
    staying: list[int] = []
    latest: int | None = None
    for index, place in enumerate(places):
        if place is not None and (latest is None or place > latest):
            staying.append(index)
            latest = place
    return staying

"""The order in which services list the ids of items, which is that of publication, its reverse, or another."""

from __future__ import annotations

from collections.abc import Sequence

from ...xmpp.port import DiscoItem, Item


def oldest_first(listed: Sequence[DiscoItem], probe: Sequence[Item]) -> list[str] | None:
    """The ids of disco#items in the order of publication, told by where the newest is: at an end, else None."""
    ids = list(dict.fromkeys(item.name for item in listed if item.name))
    if not probe or probe[-1].id in ids[-1:]:
        return ids
    if probe[-1].id not in ids[:1] or by_id(listed):
        return None
    ids.reverse()
    return ids


def by_id(listed: Sequence[DiscoItem]) -> bool:
    """Whether ids are listed in their own order, as ejabberd lists those of PEP, whatever was published when.

    Of two the newest tells the order. Where the newest is the last it may be that of publication all the same.
    """
    names = [item.name for item in listed]
    return len(names) > 2 and names == sorted(names)

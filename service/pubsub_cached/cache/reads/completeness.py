"""What a copy lacks of its node: whether a page of it is all that the service would give.

Source: the coherence model, "Serving": a window must never look like the end of the list.
"""

from __future__ import annotations

from ...store.rows import ItemsSlice, NodeRow
from ..options import ReadOptions
from ..place import Place


def was_cut(options: ReadOptions, found: ItemsSlice | None) -> bool:
    """Whether there may have been room for more items if they were smaller."""
    return found is not None and found.position is not None and len(found.items) < options.limit


def withheld(node: NodeRow, options: ReadOptions, place: Place, found: ItemsSlice, online: bool) -> bool:
    """Whether the service may have more of the named items: too large to be stored, or past the window."""
    if place.ids is None or options.policy == "cache" or not online:
        return False
    past = node.completeness == "window" and node.state != "unreachable"
    if past and found.position is None and len(found.items) < len(set(place.ids)):
        return True
    wanted = options.fields is None or "payload" in options.fields
    return wanted and any("payload" not in item for item in found.items)


def goes_on(node: NodeRow, options: ReadOptions, online: bool) -> bool:
    """Whether the service has items past the last of this page, which is the window's last."""
    return (
        node.completeness == "window"
        and options.policy != "cache"
        and options.newest_first
        and options.before is None
        and online
    )


def past_window(node: NodeRow, options: ReadOptions, place: Place, found: ItemsSlice) -> bool:
    """Whether the page lies behind the oldest item of a window, or may have items that do."""
    if node.completeness != "window" or options.policy == "cache":
        return False
    if options.oldest_first:
        return node.state != "unreachable" and _begins_before(options, found)
    if options.by_id:
        # Items that are older stand anywhere among those of the window; a walk that began in it stays there.
        return node.state != "unreachable" and options.ids is None and (place.walks or not options.cursor)
    if options.before == "":
        # The service's last page, not the window's.
        return options.newest_first
    if found.items or options.ids is not None or options.before is not None:
        return False
    placed = options.index is not None or options.after is not None or bool(options.cursor)
    # All that the window held may have been retracted.
    return placed or node.state != "unreachable"


def _begins_before(options: ReadOptions, found: ItemsSlice) -> bool:
    """Whether items that are older than the window belong to a page that has the oldest first."""
    if options.before is not None:
        return not found.items or (found.index == 0 and len(found.items) < options.limit)
    return options.ids is None and not (options.after or options.cursor)


def is_placed(node: NodeRow, options: ReadOptions) -> bool:
    """Whether a page's place among what is stored is its place among all items."""
    return node.completeness == "full" or options.newest_first

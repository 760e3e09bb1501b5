"""The end of a mark and sweep: what the service has takes the place of what is stored.

Three kinds of rows meet: those the service gave, those that events touched meanwhile (``kept``:
newer knowledge, left alone), and those it did not give.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

from ..accounts import nodes
from ..rows import Delta, NodeRow, StoredItem
from ..transaction import Transaction
from .batch import Batch, Held, all_held, delete_rows, last_of_each, published_again
from .order import arrange, made_room


def replace(
    tx: Transaction,
    node_id: int,
    items: Sequence[StoredItem],
    *,
    kept: Collection[str] = (),
    later: Collection[str] = (),
    there: Collection[str] = (),
    full: bool,
    moves: bool | None,
    keep: int | None = None,
) -> Delta:
    """Make the node hold ``items`` (oldest first), except for the ids in ``kept``, which stay present or absent.

    full: ``items`` is everything the service has, so all other rows were removed there. Otherwise it
    is the newest, by publication or by creation, as services differ: only rows that are in both ways not older than
    the oldest of them that was stored were removed, and those that are in one are dropped as by an eviction. If none
    was stored, there is a gap behind them, and the rows beyond it are dropped as well. there: rows that the service has
    among its older ones, wherever they are stored: those of them that are in ``items`` stay, the others are dropped.
    Where one of ``items`` made room for what is stored and not ``kept``, unless the service moves items, all that is
    stored and is neither in ``items`` nor ``there`` was removed.

    moves: whether the service has what is published again as its newest. Where it has, the order becomes the one given,
    with kept rows that are newer after it. Where it has not, the one given is that of creation, and rows that are
    stored stay in the order in which they were seen to be published, those with another content now after the others,
    but before what was published ``later``, as events said after that was missed, and has the content that they said.
    None where that is not known: then it is told by whether what is stored was given in the order of its creation. What
    events told ``later`` was made here in the order in which they did, and there perhaps in another, in the gap; but
    for a polled node, of which more may have been missed since, that counts as well.
    keep: of what is not ``full`` so many stay at most, the last in the order. What is as it was is not touched.
    """
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    stored = all_held(tx, node_id)
    kept, there = frozenset(kept), frozenset(there)
    given = {item.id: item for item in last_of_each(items)}
    others = [row for row in stored.values() if row.item_id not in given and row.item_id not in kept]
    removed, beyond = _swept(stored, given, others, kept, there, full=full, moves=moves)
    staying = {**stored}
    for row in (*removed, *beyond):
        del staying[row.item_id]
    after = frozenset(later)
    line, order = _orders(node, staying, given, kept, after, there, moves)
    if keep is not None and len(order) > keep:
        cut = len(order) - keep
        surplus = frozenset(order[:cut])
        beyond += [staying.pop(id_) for id_ in surplus & staying.keys()]
        line, order = [id_ for id_ in line if id_ not in surplus], order[cut:]
    if beyond:
        # First, so that the revision of this is not after those that a client may go on from.
        node = _forget(tx, node, beyond)
    # First, so that what was made before a place was given is told by its own.
    created = _created([id_ for id_ in line if id_ not in there], staying, [row.created for row in removed], tx)
    places = [staying[id_].modified if id_ in staying else None for id_ in order]
    modified = _arranged(places, [row.modified for row in removed], tx)
    batch = Batch(tx, node)
    for row in removed:
        batch.remove(row)
    for id_, place in zip(order, modified, strict=True):
        if id_ in given and id_ not in kept:
            batch.store(given[id_], staying.get(id_), created[id_], place)
        else:
            batch.move(staying[id_], created[id_], place)
    return batch.write()


def _swept(
    stored: dict[str, Held],
    given: dict[str, StoredItem],
    others: list[Held],
    kept: frozenset[str],
    there: frozenset[str],
    *,
    full: bool,
    moves: bool | None,
) -> tuple[list[Held], list[Held]]:
    """Of the rows that did not come: those that the service removed, and those beyond a gap."""
    if full:
        return others, []
    placed = (id_ for id_ in given if id_ not in there and id_ not in kept)
    if not moves and made_room(placed, stored):
        # All that is stored was looked up, for it stands where an older one does; what was missed may precede what
        # came meanwhile.
        return [row for row in others if row.item_id not in there], [row for row in others if row.item_id in there]
    oldest = next((stored[id_] for id_ in given if id_ in stored and id_ not in there), None)
    if oldest is None:
        return [], others if given else []
    newer = [row for row in others if row.modified >= oldest.modified and row.created >= oldest.created]
    unclear = [row for row in others if (row.modified >= oldest.modified) != (row.created >= oldest.created)]
    removed = [row for row in newer if row.item_id not in there]
    return removed, unclear + [row for row in newer if row.item_id in there]


def _orders(
    node: NodeRow,
    staying: dict[str, Held],
    given: dict[str, StoredItem],
    kept: frozenset[str],
    later: frozenset[str],
    there: frozenset[str],
    moves: bool | None,
) -> tuple[list[str], list[str]]:
    """All ids, the oldest first: as the service has them, and as they were published."""
    came = _came(staying, kept)
    placed = [id_ for id_ in given if id_ not in there]
    line = _line(staying, placed, kept, came)
    told = frozenset() if node.state == "polled" else later
    if _by_publication(staying, placed, kept, told) if moves is None else moves:
        return line, line
    own = [*staying]
    changed = {id_ for id_ in staying if id_ not in kept and published_again(staying[id_], given.get(id_))}
    window = node.completeness == "window"
    return line, _as_seen(line, own, changed, came, later - changed, window=window)


def _came(staying: dict[str, Held], kept: frozenset[str]) -> list[str]:
    """Ids of what was published while the service was asked, the oldest first."""
    newest = max((row.modified for row in staying.values() if row.item_id not in kept), default=None)
    return [id_ for id_, row in staying.items() if newest is None or row.modified > newest]


def _line(staying: dict[str, Held], placed: list[str], kept: frozenset[str], came: list[str]) -> list[str]:
    """All ids as the service has them, oldest first: what was not fetched, what was, and what came while it was."""
    last, known = frozenset(came), frozenset(placed)
    fetched = [id_ for id_ in placed if (id_ in staying or id_ not in kept) and id_ not in last]
    line = [id_ for id_ in staying if id_ not in known and id_ not in kept] + fetched
    # Kept where they are: rows that were only changed in place, and are not among what was fetched.
    for id_ in (id_ for id_ in staying if id_ in kept and id_ not in known and id_ not in last):
        place = staying[id_].modified
        later = (number for number, other in enumerate(line) if other in staying and staying[other].modified > place)
        line.insert(next(later, len(line)), id_)
    return line + came


def _by_publication(staying: dict[str, Held], placed: list[str], kept: frozenset[str], told: frozenset[str]) -> bool:
    """Whether what was given can't be in the order of creation. What events have ``told`` was made after all others."""
    newer = kept | told
    since = 1 + max((row.created for id_, row in staying.items() if id_ not in newer), default=0)
    created = [min(staying[id_].created, since) for id_ in placed if id_ in staying and id_ not in kept]
    return any(later < earlier for earlier, later in pairwise(created))


def _as_seen(
    line: list[str],
    own: list[str],
    changed: set[str],
    came: list[str],
    later: frozenset[str],
    *,
    window: bool,
) -> list[str]:
    """All ids by what was seen of their publication, where the line, which is the service's order, does not show it.

    own: what is stored, in that order. New ones precede all that stand behind them in the line, and all of a
    ``window``, for it has no gaps but before what was published ``later``. The ``changed`` were published since, and so
    were new ones with nothing behind them; but the former before what is at the end because it was published later.
    """
    places = {id_: place for place, id_ in enumerate(own)}
    end = next_ = len(own) - len(came)
    while end and own[end - 1] in later:
        end -= 1
    before: dict[int, list[str]] = {}
    for id_ in reversed(line):
        place = places.get(id_)
        if place is None or id_ in changed:
            before.setdefault(end if id_ in changed else next_, []).append(id_)
        elif place < next_:
            next_ = place if not window else min(place, end) if id_ in later else 0
    order: list[str] = []
    for place, id_ in enumerate([*own, ""]):
        order += reversed(before.get(place, ()))
        order += [id_] if place < len(own) and id_ not in changed else []
    return order


def _arranged(places: list[int | None], gone: list[int], tx: Transaction) -> list[int]:
    """Places in this order. gone: of rows that were removed, one of which may be where a reader has got to.

    What is older than all that stays was not given to that reader, and so comes before what is gone as well.
    """
    there = [place for place in places if place is not None]
    below = sorted(place for place in gone if there and place < min(there))
    older = next((number for number, place in enumerate(places) if place is not None), 0)
    found = arrange([*places[:older], *below, *places[older:]], tx.next_place)
    return found[:older] + found[older + len(below) :]


def _created(line: list[str], staying: dict[str, Held], gone: list[int], tx: Transaction) -> dict[str, int]:
    """Places of creation: rows that are there keep theirs, a new one comes after all that precede it."""
    following: dict[str, list[str]] = {}
    first: list[str] = []
    bucket, latest = first, None
    for id_ in line:
        row = staying.get(id_)
        if row is None:
            bucket.append(id_)
        elif latest is None or row.created > latest:
            latest = row.created
            bucket = following.setdefault(id_, [])
    line = first
    for row in sorted(staying.values(), key=lambda row: row.created):
        line += [row.item_id, *following.get(row.item_id, ())]
    places = _arranged([staying[id_].created if id_ in staying else None for id_ in line], gone, tx)
    return dict(zip(line, places, strict=True))


def _forget(tx: Transaction, node: NodeRow, rows: list[Held]) -> NodeRow:
    delete_rows(tx, [row.id for row in rows])
    tx.touched.items(node.id, node.address, [row.item_id for row in rows])
    return nodes.lower(tx, node, len(rows), "none" if node.completeness == "none" else "window")

"""The end of a mark and sweep: what the service has takes the place of what is stored.

Three kinds of rows meet: those the service gave, those that events touched meanwhile (``kept``:
newer knowledge, left alone), and those it did not give.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from . import nodes
from .batch import Batch, Held, all_held, delete_rows, last_of_each
from .order import arrange
from .rows import Delta, StoredItem
from .transaction import Transaction


def replace(
    tx: Transaction,
    node_id: int,
    items: Sequence[StoredItem],
    *,
    kept: Collection[str] = (),
    there: Collection[str] = (),
    full: bool,
) -> Delta:
    """Make the node hold ``items`` (oldest first), except for the ids in ``kept``, which stay present or absent.

    full: ``items`` is everything the service has, so all other rows were removed there. Otherwise it
    is the newest, by publication or by creation, as services differ: only rows that are in both ways not older than
    the oldest of them that was stored were removed, and those that are in one are dropped as by an eviction, and so are
    those in ``there``: the service has them, so that they are older than was thought. If none
    was stored, there is a gap behind them, and the rows beyond it are dropped as well. The order
    becomes the one given, with kept rows that are newer after it. What is as it was is not touched.
    """
    stored = all_held(tx, node_id)
    given = {item.id: item for item in last_of_each(items)}
    kept = frozenset(kept)
    others = [row for row in stored.values() if row.item_id not in given and row.item_id not in kept]
    removed, beyond = _swept(stored, given, others, frozenset(there), full)
    if beyond:
        # First, so that the revision of this is not after those that a client may go on from.
        _forget(tx, node_id, beyond)
    staying = {row.item_id: row for row in stored.values()}
    for row in (*removed, *beyond):
        del staying[row.item_id]
    order = _order(staying, given, kept)
    places = [staying[id_].modified if id_ in staying else None for id_ in order]
    modified = _arranged(places, [row.modified for row in removed], tx)
    created = _created(order, staying, [row.created for row in removed], tx)
    batch = Batch(tx, nodes.must(nodes.by_id(tx.connection, node_id)))
    for row in removed:
        batch.remove(row)
    for id_, place in zip(order, modified, strict=True):
        if id_ in given and id_ not in kept:
            batch.store(given[id_], staying.get(id_), created[id_], place)
        else:
            batch.move(staying[id_], created[id_], place)
    return batch.write()


def _swept(
    stored: dict[str, Held], given: dict[str, StoredItem], others: list[Held], there: frozenset[str], full: bool
) -> tuple[list[Held], list[Held]]:
    """Of the rows that did not come: those that the service removed, and those beyond a gap."""
    if full:
        return others, []
    oldest = next((stored[id_] for id_ in given if id_ in stored), None)
    if oldest is None:
        return [], others if given else []
    newer = [row for row in others if row.modified >= oldest.modified and row.created >= oldest.created]
    unclear = [row for row in others if (row.modified >= oldest.modified) != (row.created >= oldest.created)]
    removed = [row for row in newer if row.item_id not in there]
    return removed, unclear + [row for row in newer if row.item_id in there]


def _order(staying: dict[str, Held], given: dict[str, StoredItem], kept: frozenset[str]) -> list[str]:
    """All ids, oldest first: what was not fetched, what was, and what came while it was."""
    untouched = [row.modified for row in staying.values() if row.item_id not in kept]
    newest = max(untouched, default=None)
    came = {id_ for id_ in kept & staying.keys() if newest is None or staying[id_].modified > newest}
    fetched = [id_ for id_ in given if (id_ in staying or id_ not in kept) and id_ not in came]
    older = [id_ for id_ in staying if id_ not in given and id_ not in kept]
    order = older + fetched
    # Kept where they are: rows that were only changed in place, and are not among what was fetched.
    for id_ in (id_ for id_ in staying if id_ in kept and id_ not in given and id_ not in came):
        place = staying[id_].modified
        later = (number for number, other in enumerate(order) if other in staying and staying[other].modified > place)
        order.insert(next(later, len(order)), id_)
    return order + sorted(came, key=lambda id_: staying[id_].modified)


def _arranged(places: list[int | None], gone: list[int], tx: Transaction) -> list[int]:
    """Places in this order. gone: of rows that were removed, one of which may be where a reader has got to.

    What is older than all that stays was not given to that reader, and so comes before what is gone as well.
    """
    there = [place for place in places if place is not None]
    below = sorted(place for place in gone if there and place < min(there))
    older = next((number for number, place in enumerate(places) if place is not None), 0)
    found = arrange([*places[:older], *below, *places[older:]], tx.next_place)
    return found[:older] + found[older + len(below) :]


def _created(order: list[str], staying: dict[str, Held], gone: list[int], tx: Transaction) -> dict[str, int]:
    """Places of creation: rows that are there keep theirs, a new one comes after all that precede it."""
    following: dict[str, list[str]] = {}
    first: list[str] = []
    bucket, latest = first, None
    for id_ in order:
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


def _forget(tx: Transaction, node_id: int, rows: list[Held]) -> None:
    node = nodes.must(nodes.by_id(tx.connection, node_id))
    delete_rows(tx, [row.id for row in rows])
    tx.touched.items(node_id, node.address, [row.item_id for row in rows])
    nodes.lower(tx, node, len(rows), "none" if node.completeness == "none" else "window")

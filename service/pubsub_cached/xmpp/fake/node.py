"""A node of the fake: its items in the service's order, its configuration, who may read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ..port import ArchivePage, Item, ItemsPage, Rsm, Subscription
from .profile import Profile, SendLast

_DAY = "2026-01-01T00:"


class Entry(msgspec.Struct, frozen=True):
    """A stored item; ``created`` and ``published`` count the service's publishes, ``at`` is when the last was, ms."""

    item: Item
    created: int
    published: int
    at: int = 0

    @property
    def stamp(self) -> str:
        """The creation as a cursor, in the form of a time (XEP-0082), never an item id."""
        seconds, fraction = divmod(self.created, 1000000)
        return f"{_DAY}{seconds // 60:02}:{seconds % 60:02}.{fraction:06}Z"


@dataclass
class Node:
    """A leaf node (XEP-0060 4.2). Change it through its service only, which tells subscribers."""

    name: str
    profile: Profile
    owner: str = ""
    title: str = ""
    description: str = ""
    node_type: str = ""
    access_model: str = "open"
    roster_groups: frozenset[str] = frozenset()
    max_items: int = 256
    item_expire: str = "max"
    send_last: SendLast = "never"
    deliver_notifications: bool = True
    deliver_payloads: bool = True
    notify_delete: bool = False
    notify_config: bool = False
    publish_model: str = "publishers"
    affiliations: dict[str, str] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    publishes: list[tuple[str, Item]] = field(default_factory=list)

    def affiliation(self, jid: str) -> str:
        """What this bare JID is to the node (XEP-0060 4.1)."""
        return self.affiliations.get(jid, "owner" if jid == self.owner else "none")

    def subscribed(self, jid: str) -> bool:
        """Whether this bare JID has a subscription that brings events."""
        subscription = self.subscriptions.get(jid)
        return subscription is not None and subscription.state == "subscribed"

    def items(self) -> list[Item]:
        """All items in the service's order."""
        return [entry.item for entry in self.entries.values()]

    def last(self) -> Item | None:
        """The item published last, overwritten ones included."""
        newest = max(self.entries.values(), key=lambda entry: entry.published, default=None)
        return newest.item if newest else None

    def put(self, item: Item, sequence: int, at: int) -> list[str]:
        """Store an item, at this time (ms); returns the ids that ``max_items`` evicts, oldest first."""
        old = self.entries.get(item.id)
        if old and self.profile.moves:
            del self.entries[item.id]
        self.entries[item.id] = Entry(item, old.created if old else sequence, sequence, at)
        self.publishes.append((f"archived-{sequence}", item))
        return self.trim()

    def trim(self) -> list[str]:
        """Evict beyond ``max_items``; returns the ids, oldest first."""
        surplus = list(self.entries)[: max(0, len(self.entries) - self.max_items)]
        for item_id in surplus:
            del self.entries[item_id]
        return surplus

    def expire(self, now: int) -> None:
        """Remove what is older than ``item_expire``."""
        if self.item_expire.isdecimal() and int(self.item_expire):
            lasts = int(self.item_expire) * 1000
            self.entries = {id_: entry for id_, entry in self.entries.items() if now < entry.at + lasts}

    def metadata(self) -> dict[str, list[str]]:
        """What disco#info shows to everybody (XEP-0060 5.4); ``max_items`` is not among it."""
        shown = {
            "pubsub#title": self.title,
            "pubsub#description": self.description,
            "pubsub#type": self.node_type,
            "pubsub#access_model": self.access_model,
            "pubsub#item_expire": self.item_expire if self.profile.shows_expire else "",
        }
        return {key: [value] for key, value in shown.items() if value}

    def ids(self) -> list[str]:
        """Item ids in the order of disco#items (XEP-0060 5.5)."""
        match self.profile.disco_order:
            case "newest-first":
                return list(reversed(self.entries))
            case "sorted":
                return sorted(self.entries)
            case _:
                return list(self.entries)

    def pick(self, ids: Sequence[str]) -> tuple[Item, ...] | None:
        """Items by id (XEP-0060 6.5.8); None where one is missing and that fails the request."""
        if self.profile.missing_fails and any(item_id not in self.entries for item_id in ids):
            return None
        asked = [item_id for item_id in dict.fromkeys(ids) if item_id in self.entries]
        if self.profile.ids_order == "stored":
            asked = [item_id for item_id in self.entries if item_id in set(asked)]
        return tuple(self.entries[item_id].item for item_id in asked)

    def newest(self, most: int | None) -> tuple[Item, ...]:
        """The newest items (XEP-0060 6.5.7), oldest first, never more than a reply holds."""
        bounds = [bound for bound in (most, self.profile.reply_items) if bound is not None]
        items = self.items()
        return tuple(items[max(0, len(items) - min(bounds)) :] if bounds else items)

    def page(self, rsm: Rsm) -> ItemsPage:
        """A page (XEP-0059); a cursor that is unknown or gone gives an empty page with the count."""
        entries = list(self.entries.values())
        if rsm.after is not None:
            chosen = self._after(entries, rsm.after)[: rsm.max]
        elif rsm.before is not None:
            before = self._before(entries, rsm.before)
            chosen = before[max(0, len(before) - rsm.max) :]
        else:
            chosen = entries[: rsm.max]
        return ItemsPage(
            items=tuple(entry.item for entry in chosen),
            rsm=True,
            count=len(entries),
            first=self._cursor(chosen[0]) if chosen else None,
            last=self._cursor(chosen[-1]) if chosen else None,
        )

    def archive(self, rsm: Rsm) -> ArchivePage | None:
        """A page of the archive (XEP-0313 4.3); None for a cursor that it does not know."""
        held = [(item.id, item) for item in self.items()] if self.profile.archive == "items" else self.publishes
        ids = [id_ for id_, _ in held]
        first = 0
        if rsm.after is not None:
            if rsm.after not in ids:
                # Libervia's is a view of its items, and has no error for this either.
                return ArchivePage(count=len(ids)) if self.profile.archive == "items" else None
            first = ids.index(rsm.after) + 1
        elif rsm.before is not None:
            first = max(0, len(ids) - rsm.max)
        page = held[first : first + rsm.max]
        complete = bool(page) and first + len(page) == len(held)
        return ArchivePage(tuple(id_ for id_, _ in page), tuple(item for _, item in page), complete, len(held))

    def _cursor(self, entry: Entry) -> str:
        return entry.stamp if self.profile.cursor == "creation" else entry.item.id

    def _after(self, entries: list[Entry], cursor: str) -> list[Entry]:
        if self.profile.cursor == "creation":
            return [entry for entry in entries if entry.stamp > cursor] if _is_stamp(cursor) else []
        place = next((place for place, entry in enumerate(entries, 1) if entry.item.id == cursor), len(entries))
        return entries[place:]

    def _before(self, entries: list[Entry], cursor: str) -> list[Entry]:
        if not cursor:
            return entries
        if self.profile.cursor == "creation":
            return [entry for entry in entries if entry.stamp < cursor] if _is_stamp(cursor) else []
        place = next((place for place, entry in enumerate(entries) if entry.item.id == cursor), 0)
        return entries[:place]


def _is_stamp(cursor: str) -> bool:
    return cursor.startswith(_DAY) and cursor.endswith("Z")

"""The roster as far as it decides whose events are let in, and what it proves of access (RFC 6121 2)."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Set

from . import stanzas

log = logging.getLogger(__name__)

ROSTER = "{jabber:iq:roster}"


class Roster:
    """The contacts of an account; nothing of them is written by us.

    entries: the groups of each contact whose presence the account receives.
    """

    def __init__(self, account: str) -> None:
        self._account = account
        self.entries: dict[str, frozenset[str]] = {}
        # The pushes since the whole was asked for, until that has come.
        self._meanwhile: list[ET.Element] | None = None

    @property
    def contacts(self) -> Set[str]:
        """Bare JIDs whose presence the account receives, as of now."""
        return self.entries.keys()

    def request(self) -> ET.Element:
        """Ask for the whole roster (RFC 6121 2.1.3); what is pushed until ``replace`` counts on top of it."""
        self._meanwhile = []
        return ET.Element(ROSTER + "query")

    def replace(self, iq: ET.Element | None) -> None:
        """Take the whole roster from a reply; None when the server gave none."""
        self.entries = {}
        if iq is not None:
            self._apply(iq)
        meanwhile, self._meanwhile = self._meanwhile or [], None
        for push in meanwhile:
            self._apply(push)

    def pushed(self, iq: ET.Element) -> Mapping[str, frozenset[str] | None] | None:
        """Apply a roster push (RFC 6121 2.1.6): what was known of each contact that it changed, None of a new one.

        None when it is no push, or not from the account's own server.
        """
        if iq.find(ROSTER + "query") is None:
            return None
        sender = iq.get("from", "")
        if sender and stanzas.bare(sender) != self._account:
            log.warning("A roster push from %s is ignored", sender)
            return None
        if self._meanwhile is not None:
            self._meanwhile.append(iq)
            return {}
        return self._apply(iq)

    def _apply(self, iq: ET.Element) -> dict[str, frozenset[str] | None]:
        """What was known before of the contacts that changed; a push looks at no others, for thousands may come."""
        before: dict[str, frozenset[str] | None] = {}
        for item in iq.iterfind(f"{ROSTER}query/{ROSTER}item"):
            contact = stanzas.bare(item.get("jid", ""))
            known, groups = self.entries.get(contact), None
            if item.get("subscription") in ("to", "both") and contact:
                groups = frozenset(group.text or "" for group in item.iterfind(f"{ROSTER}group"))
                self.entries[contact] = groups
            else:
                self.entries.pop(contact, None)
            if groups != known:
                before.setdefault(contact, known)
        return before


def differing(one: Mapping[str, frozenset[str]], other: Mapping[str, frozenset[str]]) -> list[str]:
    """The contacts of which two rosters say different things, sorted."""
    return sorted(contact for contact in one.keys() | other.keys() if one.get(contact) != other.get(contact))

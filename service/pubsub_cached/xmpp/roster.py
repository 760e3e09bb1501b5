"""The roster as far as it decides whose events are let in, and what it proves of access (RFC 6121 2)."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from . import stanzas

log = logging.getLogger(__name__)

ROSTER = "{jabber:iq:roster}"


class Roster:
    """The contacts of an account; nothing of them is written by us.

    entries: the groups of each contact whose presence the account receives.
    """

    def __init__(self, account: str) -> None:
        self._account = account
        self.entries: Mapping[str, frozenset[str]] = {}

    @property
    def contacts(self) -> frozenset[str]:
        """Bare JIDs whose presence the account receives."""
        return frozenset(self.entries)

    def request(self) -> ET.Element:
        """Ask for the whole roster (RFC 6121 2.1.3)."""
        return ET.Element(ROSTER + "query")

    def replace(self, iq: ET.Element | None) -> None:
        """Take the whole roster from a reply; None when the server gave none."""
        self.entries = {}
        if iq is not None:
            self._apply(iq)

    def pushed(self, iq: ET.Element) -> bool:
        """Apply a roster push (RFC 6121 2.1.6); False when it is none, or not from the account's own server."""
        if iq.find(ROSTER + "query") is None:
            return False
        sender = iq.get("from", "")
        if sender and stanzas.bare(sender) != self._account:
            log.warning("A roster push from %s is ignored", sender)
            return False
        self._apply(iq)
        return True

    def _apply(self, iq: ET.Element) -> None:
        entries = dict(self.entries)
        for item in iq.iterfind(f"{ROSTER}query/{ROSTER}item"):
            contact = stanzas.bare(item.get("jid", ""))
            if item.get("subscription") in ("to", "both") and contact:
                entries[contact] = frozenset(group.text or "" for group in item.iterfind(f"{ROSTER}group"))
            else:
                entries.pop(contact, None)
        self.entries = entries


def differing(one: Mapping[str, frozenset[str]], other: Mapping[str, frozenset[str]]) -> list[str]:
    """The contacts of which two rosters say different things, sorted."""
    return sorted(contact for contact in one.keys() | other.keys() if one.get(contact) != other.get(contact))

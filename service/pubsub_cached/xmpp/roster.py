"""The roster as far as it decides whose events are let in (RFC 6121 2)."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET

from . import stanzas

log = logging.getLogger(__name__)

ROSTER = "{jabber:iq:roster}"


class Roster:
    """The contacts of an account; nothing of them is written by us."""

    def __init__(self, account: str) -> None:
        self._account = account
        self.contacts: frozenset[str] = frozenset()

    def request(self) -> ET.Element:
        """Ask for the whole roster (RFC 6121 2.1.3)."""
        return ET.Element(ROSTER + "query")

    def replace(self, iq: ET.Element | None) -> None:
        """Take the whole roster from a reply; None when the server gave none."""
        self.contacts = frozenset()
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
        contacts = set(self.contacts)
        for item in iq.iterfind(f"{ROSTER}query/{ROSTER}item"):
            contact = stanzas.bare(item.get("jid", ""))
            if item.get("subscription") in ("to", "both") and contact:
                contacts.add(contact)
            else:
                contacts.discard(contact)
        self.contacts = frozenset(contacts)

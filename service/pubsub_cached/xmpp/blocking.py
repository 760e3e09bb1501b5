"""Whom the account blocks (XEP-0191): their events do not come, which nobody says but the account's own server."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from .. import jid
from . import stanzas

BLOCKING = "{urn:xmpp:blocking}"


def request() -> ET.Element:
    """Ask for the list: whoever has done so is told of changes (XEP-0191 3.2)."""
    return ET.Element(BLOCKING + "blocklist")


def pushed(iq: ET.Element, account: str) -> list[str] | None:
    """Who is blocked, or is no more, as written; none for everybody. None where it is no push of the own server."""
    changes = [change for tag in ("block", "unblock") for change in iq.iterfind(BLOCKING + tag)]
    if not changes or stanzas.bare(iq.get("from") or account) != account:
        return None
    return [item.get("jid", "") for change in changes for item in change.iterfind(BLOCKING + "item")]


def concerned(written: Iterable[str], contacts: Iterable[str]) -> list[str]:
    """The bare JIDs that a push is about: of a domain its contacts as well, and all contacts where it names nobody."""
    named = {stanzas.bare(each) for each in written}
    return sorted(named | {each for each in contacts if not named or jid.domain(each) in named})

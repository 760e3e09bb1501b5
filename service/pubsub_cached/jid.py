"""JIDs as RFC 7622 writes them: checked and normalised, so that equal strings are equal JIDs."""

from __future__ import annotations

import re
from functools import lru_cache

from .errors import InvalidJid

# Three parts of 1023 bytes each, and what is between them (RFC 7622 3.1).
BYTES_AT_MOST = 3 * 1023 + 2

# What preparation leaves as it is needs no preparation; the library behind it takes long to import.
_PLAIN = re.compile(r"(?:[a-z0-9._~+-]{1,256}@)?[a-z0-9](?:[a-z0-9.-]{0,253}[a-z0-9])?")


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """The prepared form of a full, bare or domain JID (RFC 7622 3).

    Raises InvalidJid.
    """
    if _PLAIN.fullmatch(text) and ".." not in text:
        return text
    if len(text) > BYTES_AT_MOST:
        # Preparing it would take long.
        raise InvalidJid(f"'{text}' is no JID: it has {len(text)} characters, and {BYTES_AT_MOST} is the most.")
    from slixmpp.jid import JID, InvalidJID

    try:
        jid = JID(text)
    except InvalidJID:
        raise InvalidJid(f"'{text}' is no JID; write it as user@domain or as a domain.") from None
    if not jid.domain:
        raise InvalidJid(f"'{text}' is no JID; write it as user@domain or as a domain.")
    # The library leaves the dot that may end a domain's name behind a local part (RFC 7622 3.2).
    bare, slash, resource = str(jid.full).partition("/")
    return bare.removesuffix(".") + slash + resource


def normalised(text: str) -> str:
    """The normalised JID, or "" for what is none."""
    try:
        return normalise(text) if text else ""
    except InvalidJid:
        return ""


def bare(text: str) -> str:
    """The normalised JID without its resource. Raises InvalidJid."""
    return normalise(text).split("/", 1)[0]


def domain(jid: str) -> str:
    """The domain of a normalised JID."""
    return jid.split("/", 1)[0].rpartition("@")[2]

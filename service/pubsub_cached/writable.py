"""Texts that XMPP, which is XML, can carry."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import InvalidArgs

UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_texts(texts: Iterable[str]) -> None:
    """Raises InvalidArgs for a character that XML can't carry (XML 1.0 2.2)."""
    for text in texts:
        if found := UNWRITABLE.search(text):
            raise InvalidArgs(f"The character U+{ord(found[0]):04X} in '{text}' can't be sent over XMPP.")

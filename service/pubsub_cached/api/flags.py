"""Names of flags, the local marks of items."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import InvalidArgs

# Each of the items gets each of the flags, in one transaction.
ITEMS_AT_MOST = 10_000
FLAGS_AT_MOST = 16

_FLAG = re.compile(r"[a-z][a-z0-9-]{0,63}")


def check(ids: Sequence[str], add: Sequence[str], remove: Sequence[str]) -> None:
    """Raises InvalidArgs for a name that is no flag's, for one that is to be set and taken away, and for too many."""
    for given, most, what in ((ids, ITEMS_AT_MOST, "ids"), ((*add, *remove), FLAGS_AT_MOST, "flags")):
        if len(given) > most:
            raise InvalidArgs(f"SetFlags was given {len(given)} {what}, and {most} is the most; set them by parts.")
    for flag in (*add, *remove):
        if not _FLAG.fullmatch(flag):
            raise InvalidArgs(
                f"'{flag}' is no flag; one begins with a-z and goes on with a-z, 0-9 and -, 64 characters at most."
            )
    both = sorted(set(add).intersection(remove))
    if both:
        raise InvalidArgs(f"The flag '{both[0]}' is to be added and to be removed; say one of the two.")

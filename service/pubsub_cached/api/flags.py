"""The flags that a client sets and takes away."""

from __future__ import annotations

from collections.abc import Sequence

from .. import flag
from ..errors import InvalidArgs

# Each of the items gets each of the flags, in one transaction.
ITEMS_AT_MOST = 10_000
FLAGS_AT_MOST = 16


def check(ids: Sequence[str], add: Sequence[str], remove: Sequence[str]) -> None:
    """Raises InvalidArgs for a name that is no flag's, for one that is to be set and taken away, and for too many."""
    for given, most, what in ((ids, ITEMS_AT_MOST, "ids"), ((*add, *remove), FLAGS_AT_MOST, "flags")):
        if len(given) > most:
            raise InvalidArgs(f"SetFlags was given {len(given)} {what}, and {most} is the most; set them by parts.")
    for name in (*add, *remove):
        if not flag.NAME.fullmatch(name):
            raise InvalidArgs(f"'{name}' is no flag; {flag.RULE}.")
    both = sorted(set(add).intersection(remove))
    if both:
        raise InvalidArgs(f"The flag '{both[0]}' is to be added and to be removed; say one of the two.")

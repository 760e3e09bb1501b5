"""Names of flags, the local marks of items."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import InvalidArgs

_FLAG = re.compile(r"[a-z][a-z0-9-]*")


def check(add: Sequence[str], remove: Sequence[str]) -> None:
    """Raises InvalidArgs for a name that is no flag's, and for one that is to be set and taken away."""
    for flag in (*add, *remove):
        if not _FLAG.fullmatch(flag):
            raise InvalidArgs(f"'{flag}' is no flag; one begins with a-z and goes on with a-z, 0-9 and -.")
    both = sorted(set(add).intersection(remove))
    if both:
        raise InvalidArgs(f"The flag '{both[0]}' is to be added and to be removed; say one of the two.")

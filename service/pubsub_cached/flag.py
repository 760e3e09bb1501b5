"""Names of flags, the local marks of items."""

from __future__ import annotations

import re

NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
# For errors.
RULE = "one begins with a-z and goes on with a-z, 0-9 and -, 64 characters at most"

"""Characters that do something instead of being shown."""

from __future__ import annotations

import re

# A terminal would obey them, the journal shows no line that has one, and U+2028 ends a line for some readers.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

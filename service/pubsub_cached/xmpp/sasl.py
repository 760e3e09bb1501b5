"""SCRAM (RFC 5802), the only family of mechanisms that is used, as slixmpp's registry wants it.

The library's own key derivation is a Python loop that holds up everything else for as long as the server
says; this one is OpenSSL's, and bounded.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

from slixmpp.util.sasl.client import SASLCancelled, sasl_mech, saslprep
from slixmpp.util.sasl.mechanisms import SCRAM
from slixmpp.util.stringprep_profiles import StringPrepError

MECHANISMS = frozenset(
    name + plus for name in ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-384", "SCRAM-SHA-512") for plus in ("", "-PLUS")
)
# Above what servers are configured to (10,000 to 600,000), below what would be felt.
MAX_ITERATIONS = 2_000_000

# Conditions after which another mechanism may succeed with the same password (RFC 6120 6.5).
OTHER_MECHANISM = frozenset({"invalid-mechanism", "mechanism-too-weak"})
# Conditions that pass by themselves.
TEMPORARY = frozenset({"temporary-auth-failure", "aborted"})


class Scram(SCRAM):
    """SCRAM with PBKDF2 by OpenSSL."""

    def Hi(self, text: Any, salt: bytes, iterations: int) -> bytes:
        """The salted password (RFC 5802 2.2)."""
        if not 1 <= iterations <= MAX_ITERATIONS:
            raise cast(Any, SASLCancelled)(f"The server asks for {iterations} iterations")
        algorithm: Any = self.hash
        return hashlib.pbkdf2_hmac(algorithm().name, text, salt, iterations)


sasl_mech(SCRAM.score)(Scram)


def usable(password: str) -> bool:
    """Whether SASLprep takes the password (RFC 4013)."""
    try:
        return bool(saslprep(password))
    except StringPrepError:
        return False

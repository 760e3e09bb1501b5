"""Answers that were no: remembered for a while, longer each time, so that nobody is asked in a loop.

Source: the coherence model, "Negative answers". Kept in memory: a new start asks again, and so does whoever comes after
so many others that the answer was forgotten.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ... import errors, jid
from ...address import Address, drop_account
from ...recent import Recent

_MINUTE = 60_000
_HOUR = 60 * _MINUTE

# First and longest time in ms.
ABSENT = (5 * _MINUTE, _HOUR)
DENIED = (15 * _MINUTE, 24 * _HOUR)
UNREACHABLE = (30_000, _HOUR)
OWN_AT_MOST = _MINUTE
# Of nodes, and of domains.
REMEMBERED = 4096


class _Negative(msgspec.Struct):
    error: errors.PubSubCachedError
    until: int
    lasts: int

    def fresh(self, now: int) -> bool:
        """Whether it counts now; it does not when the clock was set back behind it."""
        return self.until - self.lasts <= now < self.until


class Negatives:
    """Negative answers by node, and unreachable services by domain."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._nodes: Recent[Address, _Negative] = Recent(REMEMBERED)
        self._domains: Recent[tuple[str, str], _Negative] = Recent(REMEMBERED)

    def check(self, address: Address) -> None:
        """Raise the remembered error while it is fresh."""
        now = self._clock()
        for negative in (self._nodes.get(address), self._domains.get(_domain(address))):
            if negative is not None and negative.fresh(now):
                raise negative.error.again()

    def remember(self, address: Address, error: errors.PubSubCachedError) -> None:
        """A service said no; NoSuchNode and Denied count for the node."""
        first, longest = DENIED if isinstance(error, errors.Denied) else ABSENT
        if address.own:
            first = longest = OWN_AT_MOST
        self._nodes[address] = self._next(self._nodes.get(address), error, first, longest)

    def unreachable(self, address: Address, error: errors.PubSubCachedError) -> None:
        """A service's domain could not be reached from the account's server."""
        domain = _domain(address)
        self._domains[domain] = self._next(self._domains.get(domain), error, *UNREACHABLE)

    def clear(self, address: Address) -> None:
        """The node was heard of, or its reader insists."""
        self._nodes.pop(address, None)
        self._domains.pop(_domain(address), None)

    def found(self, address: Address) -> None:
        """The service has the node; whether it may be read it did not say."""
        negative = self._nodes.get(address)
        if negative is None or isinstance(negative.error, errors.NoSuchNode):
            self.clear(address)

    def clear_service(self, account: str, service: str) -> None:
        """What decides of access to all nodes of a service changed, as the account's roster does of a contact's."""
        for address in [address for address in self._nodes if (address.account, address.service) == (account, service)]:
            del self._nodes[address]
        self._domains.pop((account, jid.domain(service)), None)

    def clear_account(self, account: str) -> None:
        """A new session: everything may be different now."""
        drop_account(account, self._nodes, self._domains)

    def forget(self) -> None:
        """Everything is forgotten."""
        self._nodes.clear()
        self._domains.clear()

    def _next(self, last: _Negative | None, error: errors.PubSubCachedError, first: int, longest: int) -> _Negative:
        now = self._clock()
        if last is not None and last.fresh(now):
            # Several who asked at once were refused once.
            lasts = min(last.lasts, longest)
        else:
            lasts = min(last.lasts * 2, longest) if last is not None else first
        return _Negative(error.again(), now + lasts, lasts)


def _domain(address: Address) -> tuple[str, str]:
    return address.account, address.domain

"""Proofs of access: silence proves no authorisation, so a node that is neither own nor open is proved again.

A proof is a read that succeeded. It ages only while the account is online, so that an offline reader keeps
what it has. Of a contact's node that is open to its contacts the account's own roster entry is the proof, and that of
the owner's groups, which nobody else sees, an entry that has not changed since a read succeeded. Source: the coherence
model, "What the protocol forces"; XEP-0060 4.5.
"""

from __future__ import annotations

from collections.abc import Callable

from ...address import Address, drop_account
from ...store.rows import NodeRow
from ..accounts.account import Account

# Access models of which anybody may read (XEP-0060 4.5).
OPEN = "open"
# Access that follows from the owner's roster.
PRESENCE = "presence"
ROSTER = "roster"
# What may be different once the account's roster entry of the owner is; of "" the service does not tell.
BY_ROSTER = frozenset({PRESENCE, ROSTER, ""})


class Proofs:
    """When an account was last seen to be allowed to read a node; of each account it knows the time online."""

    def __init__(self, clock: Callable[[], int], lasts_ms: int) -> None:
        self._clock = clock
        self._lasts_ms = lasts_ms
        self._online: dict[str, int] = {}
        self._since: dict[str, int] = {}
        self._proved: dict[Address, int] = {}
        # How many doubts there were, which whoever asks a service remembers until it answers; of each node the last.
        self.doubts = 0
        self._doubted: dict[Address, int] = {}

    def session_started(self, account: str) -> None:
        """Proofs of the account age from now on."""
        self._since.setdefault(account, self._clock())

    def session_ended(self, account: str) -> None:
        """Proofs of the account age no more."""
        self._online[account] = self._age(account)
        self._since.pop(account, None)

    def prove(self, address: Address, doubts: int) -> bool:
        """The service has let the account read the node; whether that is a proof.

        doubts: how many there were when the service was asked. What came up since, its answer does not settle.
        """
        if not self.holds(address, doubts):
            return False
        self._proved[address] = self._age(address.account)
        self._doubted.pop(address, None)
        return True

    def holds(self, address: Address, doubts: int) -> bool:
        """Whether nothing has come up since there were so many doubts."""
        return self._doubted.get(address, 0) <= doubts

    def forget_account(self, account: str) -> None:
        """The account is no more; what was doubted of a cache that stays is so still."""
        self._online.pop(account, None)
        self._since.pop(account, None)
        drop_account(account, self._proved)

    def doubt(self, address: Address) -> None:
        """Access may have been tightened: nothing is served until it is proved, whatever the access model was."""
        self._proved.pop(address, None)
        self.doubts += 1
        self._doubted[address] = self.doubts

    def forget(self, address: Address) -> None:
        """There is no row of the node, and so nothing that could be shown."""
        self._proved.pop(address, None)
        self._doubted.pop(address, None)

    def known(self, address: Address) -> bool:
        """Whether a read has succeeded since the daemon started, however long ago."""
        return address in self._proved

    def in_doubt(self, address: Address) -> bool:
        """Whether something came up against a node that is not the account's own, and no read has succeeded since."""
        return address in self._doubted and not address.own

    def missing(self, account: Account, node: NodeRow) -> bool:
        """Whether the node must be proved before it is served to somebody who is online."""
        address = node.address
        if address.own:
            return False
        if self.in_doubt(address):
            return True
        if not account.online:
            # A proof does not age offline.
            return False
        if node.state == "unreachable":
            # Nothing can be proved, and what is served says that it is old.
            return False
        if node.access_model == OPEN or (node.access_model == PRESENCE and address.service in account.session.contacts):
            return False
        if node.access_model == ROSTER and account.session.groups(address.service):
            return address not in self._proved
        return self._too_old(address)

    def _too_old(self, address: Address) -> bool:
        proved = self._proved.get(address)
        # Where it is from a time to come the clock was set back since.
        return proved is None or not 0 <= self._age(address.account) - proved <= self._lasts_ms

    def _age(self, account: str) -> int:
        """How long the account has been online, ms."""
        since = self._since.get(account)
        return self._online.get(account, 0) + (self._clock() - since if since is not None else 0)

"""Archives: whether a service's archive of a node (XEP-0313) is its items, found out when a node is fetched as a whole.

The archive's newest are compared with those that were fetched. It is of use only where it goes by the items' own ids,
for no other id is known of what is stored. An archive at an account's address is never asked: it is the person's, and
says of every node that nothing was published. Source: the coherence model, "Revalidation ladder"; XEP-0313 4, 6.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence

from ... import errors
from ...address import Address, drop_account
from ...store.rows import StoredItem
from ...xmpp.port import MAM, Rsm, Session
from ..nodes.facts import Facts
from ..parsing.parsing import Parse

log = logging.getLogger(__name__)

COMPARED = 6
# A service that can't be made out is not asked for ever.
QUESTIONS_AT_MOST = 8


class Archives:
    """Compares archives with items."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        # Whether services say that they have archives, and how often they were asked for them.
        self._announced: dict[tuple[str, str], bool] = {}
        self._asked: Counter[tuple[str, str]] = Counter()

    def forget_account(self, account: str) -> None:
        """The account was removed: what its services are is found out anew should it come again."""
        drop_account(account, self._announced, self._asked)

    async def compare(
        self,
        session: Session,
        address: Address,
        fetched: Sequence[StoredItem],
        *,
        parse: Parse,
        touched: Collection[str],
        caught_up: Callable[[], Awaitable[None]],
    ) -> None:
        """Compare the archive with the newest of all items of the node, where that is still to be found out.

        touched: ids that events change meanwhile, after ``caught_up`` those of all that have come. Raises Offline.
        """
        key = address.account, address.service
        newest = fetched[-COMPARED:]
        if "@" in address.service or self._facts.archives(address) or len(newest) < 2:
            return
        if self._asked[key] >= QUESTIONS_AT_MOST or not await self._announces(session, address):
            return
        self._asked[key] += 1
        try:
            page = await session.get_archive(address.service, address.node, Rsm(max=len(newest), before=""))
        except (errors.StanzaError, errors.Timeout) as refusal:
            log.info("the archive of %s could not be asked: %s", address, refusal.message)
            return
        found = await parse(page.items)
        # What came before this reply is older than it.
        await caught_up()
        if touched:
            return
        same = [(item.id, item.hash) for item in found] == [(item.id, item.hash) for item in newest]
        self._facts.archive(address, same and list(page.ids) == [item.id for item in found])

    async def _announces(self, session: Session, address: Address) -> bool:
        key = address.account, address.service
        if key not in self._announced:
            try:
                info = await session.disco_info(address.service)
            except (errors.StanzaError, errors.Timeout) as refusal:
                log.info("%s does not say what it can: %s", address.service, refusal.message)
                return False
            self._announced[key] = MAM in info.features
        return self._announced[key]

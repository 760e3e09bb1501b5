"""Overwrites: where a service puts an item that was published again, found out while its events come.

After an event that overwrites an item which is not the newest, the newest one is asked for: the answer is younger than
the event, and is either that item, which has moved, or the one that was made last. Few such questions settle it for a
service. Source: the coherence model, "What the protocol forces".
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from ... import errors
from ...address import Address, drop_account
from ...tasks import Tasks, end
from ...xmpp.port import Session
from ..nodes import refusals
from ..nodes.facts import Facts

log = logging.getLogger(__name__)

# A service that can't be made out is not asked for ever.
QUESTIONS_AT_MOST = 8


class Question:
    """Where an item went that an event published.

    since: what later events changed. sure: it is known which item was made last. It is where all of them are stored; in
    a window an old one that an event brings only looks so, unless the service has given it as its last.
    """

    def __init__(self, address: Address, item: str) -> None:
        self.address = address
        self.item = item
        self.since: set[str] = set()
        self.sure = False


class Overwrites:
    """Asks services where an overwritten item went."""

    def __init__(
        self, facts: Facts, failed: Callable[[Address, errors.PubSubCachedError], Awaitable[errors.PubSubCachedError]]
    ) -> None:
        """failed: writes down what a failed read means."""
        self._facts = facts
        self._failed = failed
        # Waits for the events that have come so far; set by whoever applies them.
        self.caught_up: Callable[[], Awaitable[None]]
        self._asked: Counter[tuple[str, str]] = Counter()
        self._open: dict[Address, Question] = {}
        # Of nodes in which something may have been missed; of each item the session in which it was changed last.
        self._since: dict[Address, dict[str, int]] = {}
        # Of windows the last item that the service gave.
        self._last: dict[Address, str] = {}
        self._tasks = Tasks()

    def forget_account(self, account: str) -> None:
        """The account was removed."""
        drop_account(account, self._asked, self._since, self._last)

    def forget(self) -> None:
        """Everything is to be forgotten."""
        self._since.clear()
        self._last.clear()

    def since_a_gap(self, address: Address, session: int | None = None) -> frozenset[str]:
        """Items that events changed after some may have been missed: what is stored of them shows nothing of a gap.

        session: those alone that came in the one of this number, and so after whatever was missed before it.
        """
        since = self._since.get(address, {})
        return frozenset(id_ for id_, number in since.items() if session in (None, number))

    def compared(self, address: Address, last: str = "") -> None:
        """What was missed of the node is known, or the node is not kept any more.

        last: the last item of a window, as far as the service gave it.
        """
        self._since.pop(address, None)
        if last:
            self._last[address] = last
        else:
            self._last.pop(address, None)

    def changed(self, address: Address, ids: Collection[str], *, session: int, missed: bool) -> None:
        """An event of a session published or retracted these items; ``missed``: others may have been before it."""
        if missed:
            self._since.setdefault(address, {}).update(dict.fromkeys(ids, session))
        if (question := self._open.get(address)) is not None:
            question.since.update(id_ for id_ in ids if id_ != question.item)

    def question(self, address: Address, item: str) -> Question | None:
        """A question about an item that an event has just published, None where there is nothing to find out.

        To be asked or dropped once the event is applied.
        """
        asked = self._asked[address.account, address.service]
        if address in self._open or self._facts.verdict(address) is not None or asked >= QUESTIONS_AT_MOST:
            return None
        self._open[address] = question = Question(address, item)
        return question

    def drop(self, question: Question) -> None:
        """The event shows nothing."""
        self._open.pop(question.address, None)

    def ask(self, session: Session, question: Question, youngest: str) -> None:
        """The event overwrote an item that was not the last; ``youngest`` was made last."""
        self._asked[question.address.account, question.address.service] += 1
        question.sure |= youngest == self._last.get(question.address)
        self._tasks.begin(self._ask(session, question, youngest), f"overwrite at {question.address}")

    async def settled(self) -> None:
        """Wait until nothing is being asked."""
        await self._tasks.settled()

    async def close(self) -> None:
        """Ask no more."""
        await end(self._tasks)

    async def _ask(self, session: Session, question: Question, youngest: str) -> None:
        address = question.address
        try:
            page = await session.get_items(address.service, address.node, max_items=1)
            # What came before the reply is older than it.
            await self.caught_up()
        except errors.PubSubCachedError as error:
            log.info("where %s put an overwritten item could not be asked: %s", address, error)
            if refusals.meaning(error) in ("gone", "denied"):
                # A read is a read, whoever asked for it.
                with suppress(errors.NoSuchNode):
                    await self._failed(address, error)
            return
        finally:
            self.drop(question)
        found = page.items[0].id if len(page.items) == 1 else ""
        if question.since:
            return
        if found == question.item and question.sure:
            self._facts.overwritten(address, True)
        elif found == youngest:
            self._facts.overwritten(address, False)

"""One entry of the outbox on its way to the service.

Before anything is sent the service is asked what it has under the id: what is there already is not sent again, and
what somebody else changed since it was queued is not overwritten. That it may have been sent is written down
before it is. Source: dbus-api.md "PubSub".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from ... import errors
from ...store.accounts import outbox as outbox_store
from ...store.accounts.outbox import Entry
from ...store.rows import digest
from ...xmpp.port import Session
from ..jobs import Job
from ..nodes import refusals

if TYPE_CHECKING:
    from .outbox import Outbox

log = logging.getLogger(__name__)

# First and longest wait (s) before a service that could not be reached is tried again.
RETRY_FIRST = 30.0
RETRY_LONGEST = 3600.0
# What is sent so often without an answer may itself be what breaks the connection.
ATTEMPTS_AT_MOST = 5

# There is nothing under the id.
NOTHING = ""


class _GivenUp(errors.Timeout):
    """Sent often enough without an answer."""


class Sending:
    """Sends one entry, waiting for the account, the service and the database as long as it takes."""

    def __init__(self, outbox: Outbox, entry: Entry, job: Job) -> None:
        self._outbox = outbox
        # What is left of it: without the items that were sent.
        self._entry = entry
        self._total = len(entry.items)
        self._job = job
        # Whether the service had no such node when it was asked last.
        self._no_node = False

    async def run(self) -> str:
        """The closing message. Raises StanzaError for a refusal, Conflict, Timeout when it was tried too often."""
        whole, account, delay = described(self._entry), self._entry.address.account, RETRY_FIRST
        while True:
            session = await self._outbox.session(account)
            self._job.begin()
            try:
                for id_ in [*self._entry.items]:
                    await self._send(session, id_)
                    self._outbox.sent(self._entry, id_)
                    self._sent(id_)
                    self._job.progress(self._done, self._total)
            except errors.Offline as error:
                self._say(error)
            except _GivenUp:
                raise
            except (errors.Timeout, errors.StanzaError) as error:
                if refusals.meaning(error) != "unreachable":
                    raise
                delay = await self._wait(error, delay)
            except errors.STORAGE as error:
                # Whether it was sent is written down, or it was not.
                delay = await self._wait(error, delay)
            else:
                return f"{whole} was sent."

    @property
    def _done(self) -> int:
        return self._total - len(self._entry.items)

    def _sent(self, id_: str) -> None:
        """The service has an item as it is to be; of the next one nothing was sent yet."""
        items = {other: base for other, base in self._entry.items.items() if other != id_}
        self._entry = msgspec.structs.replace(self._entry, attempts=0, items=items)

    async def _wait(self, error: errors.PubSubCachedError, delay: float) -> float:
        """Wait until it is tried again; how long to wait the next time."""
        self._say(error)
        await self._outbox.pause(self._entry.address.account, delay)
        return min(delay * 2, RETRY_LONGEST)

    def _say(self, error: errors.PubSubCachedError) -> None:
        log.info("%s is tried again later: %s", described(self._entry), error.message)
        message = f"{described(self._entry)} waits to be sent: {error.message}"
        self._job.progress(self._done, self._total, message)

    async def _send(self, session: Session, id_: str) -> None:
        entry, writing, address = self._entry, self._outbox.writing, self._entry.address
        changed = True
        while changed:
            with writing.watch(address) as watch:
                epoch = self._outbox.epoch(address.account)
                found = await self._found(session, id_)
                if found is not None and wanted(entry) in found:
                    return
                self._check(id_, found)
                if self._no_node and entry.action == "publish" and address.own:
                    await self._make()
                await self._tried(id_, found)
                # What was found may have been changed by somebody else while that was written down.
                changed = watch.tells_of(id_) or self._outbox.epoch(address.account) != epoch
            if changed:
                # It was not sent.
                self._entry = msgspec.structs.replace(self._entry, attempts=entry.attempts)
        self._outbox.sending(entry, id_)
        if entry.action == "publish":
            await writing.publish(address, id_, entry.payload, entry.options)
            return
        try:
            await writing.retract(address, [id_], notify=entry.notify)
        except errors.StanzaError as error:
            if error.condition != "item-not-found":
                raise

    async def _make(self) -> None:
        """Make an own node that is not there: its service would, for one item, which the next to be sent would replace.

        A client can't have it made, for all that can be done without a connection is to queue what is published.
        """
        entry = self._entry
        if not self._outbox.for_several(entry):
            return
        try:
            await self._outbox.writing.create(entry.address, {"pubsub#max_items": ["max"], **entry.options})
        except errors.StanzaError as refusal:
            # There is one by now, or the publication makes it as the service likes, or is refused itself.
            log.info("%s was not made before something is published: %s", entry.address, refusal.message)

    def _check(self, id_: str, found: frozenset[str] | None) -> None:
        """Raises Conflict where sending might undo what somebody else did, or do something twice."""
        entry, base = self._entry, self._entry.items[id_]
        if entry.attempts and (found is None or base is None):
            may = "may not look" if found is None else "could not look before that"
            raise errors.Conflict(
                f"{described(entry)} may have been sent already, and {entry.address.account} {may}; "
                "do it again if it was not."
            )
        expected = {base} | self._outbox.unanswered(entry.address, id_)
        if found is not None and base is not None and expected.isdisjoint(found):
            what = "was removed" if found == {NOTHING} else "was changed"
            raise errors.Conflict(
                f"The item '{id_}' of {entry.address} {what} at the service since this was queued; "
                "read it again, and decide anew."
            )

    async def _found(self, session: Session, id_: str) -> frozenset[str] | None:
        """Digests of what the service has under an id, as said and as stored; None where it may not be read."""
        address = self._entry.address
        self._no_node = False
        try:
            item = await self._outbox.pass_through.look(session, address, id_)
        except errors.StanzaError as error:
            match refusals.meaning(error):
                case "gone":
                    self._no_node = True
                    return frozenset({NOTHING})
                case "denied":
                    return None
            raise
        if item is None:
            return frozenset({NOTHING})
        stored = await self._outbox.as_stored(address, item)
        return frozenset({digest(item.payload, ""), digest(stored, "")})

    async def _tried(self, id_: str, found: frozenset[str] | None) -> None:
        """Write down that this may be sent from now on, and over what. Raises Timeout after too many attempts."""
        entry = self._entry
        if entry.attempts >= ATTEMPTS_AT_MOST:
            raise _GivenUp(f"{described(entry)} was sent {entry.attempts} times and never answered; it is given up.")
        items = dict(entry.items)
        if items[id_] is None and found is not None:
            items[id_] = min(found)
        tried = msgspec.structs.replace(entry, attempts=entry.attempts + 1, items=items)
        await self._outbox.store.write(outbox_store.tried, tried)
        # What can't be written down is not sent, and so was not tried.
        self._entry = tried


def described(entry: Entry) -> str:
    """What an entry is, as the beginning of a sentence."""
    ids = ", ".join(f"'{id_}'" for id_ in entry.items)
    action = "publication" if entry.action == "publish" else "retraction"
    return errors.shortened(f"The {action} of {ids} at {entry.address}")


def wanted(entry: Entry) -> str:
    """What is under an entry's ids once it is sent."""
    return digest(entry.payload, "") if entry.action == "publish" else NOTHING

"""IQ requests and their replies: each is answered, times out, or fails the moment the stream is lost."""

from __future__ import annotations

import asyncio
import logging
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

from .. import errors
from ..jid import normalised
from . import payload, stanzas

log = logging.getLogger(__name__)

# kind (get or set), to, id, child
Writer = Callable[[str, str, str, ET.Element], None]


class _Pending(NamedTuple):
    senders: frozenset[str]
    subject: str
    reply: asyncio.Future[ET.Element]


class Requests:
    """The requests of one session. Closed until ``open``: nothing is written that might be sent later."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._own = frozenset({"", account})
        self._pending: dict[str, _Pending] = {}
        self._write: Writer | None = None

    def open(self, write: Writer, bound: str) -> None:
        """A stream is there; ``bound`` is the session's full JID."""
        self._write = write
        self._own = frozenset({"", self._account, bound})

    def close(self) -> None:
        """The stream is gone: everything under way fails with Offline, now."""
        self._write = None
        for pending in self._pending.values():
            if not pending.reply.done():
                pending.reply.set_exception(_lost(self._account, pending.subject))

    async def ask(
        self, kind: str, service: str, child: ET.Element, *, subject: str = "", timeout: float = 30.0
    ) -> ET.Element:
        """Send a request and return the ``<iq/>`` of its result.

        subject: what is asked about, for sentences. timeout: seconds.
        Raises StanzaError, Timeout, Offline, InvalidArgs for what XML can't carry.
        """
        subject = subject or service
        if self._write is None:
            raise offline(self._account, subject)
        payload.check(child)
        id_ = uuid4().hex
        reply: asyncio.Future[ET.Element] = asyncio.get_running_loop().create_future()
        # A reply without "from" speaks for the account itself, and for nobody else (RFC 6120 8.1.2.1).
        senders = self._own if service == self._account else frozenset({service})
        self._pending[id_] = _Pending(senders, subject, reply)
        try:
            self._write(kind, service, id_, child)
            async with asyncio.timeout(timeout):
                return await reply
        except TimeoutError:
            raise errors.NoAnswer(
                f"{service} did not answer within {timeout:g} seconds when asked for {subject}."
            ) from None
        finally:
            del self._pending[id_]

    def answered(self, iq: ET.Element) -> bool:
        """Take a reply; False when it answers nothing that was asked of its sender."""
        pending = self._pending.get(iq.get("id", ""))
        if pending is None or pending.reply.done():
            return False
        sender = iq.get("from", "")
        # What is no JID is nobody's, and not that of whoever sends without one.
        if pending.senders.isdisjoint((sender, normalised(sender) or sender)):
            log.warning("A reply for %s came from %s and is ignored", pending.subject, sender)
            return False
        if iq.get("type") == "result":
            pending.reply.set_result(iq)
        else:
            pending.reply.set_exception(stanzas.read_error(iq, pending.subject))
        return True


def offline(account: str, subject: str) -> errors.Offline:
    """Nothing can be asked for now."""
    return errors.Offline(f"{account} is not connected, so {subject} can't be asked for.")


def _lost(account: str, subject: str) -> errors.Offline:
    return errors.Offline(
        f"The connection of {account} was lost before an answer about {subject} came; "
        "what was asked may have been done."
    )

"""Stream management (XEP-0198) that resumes on a new connection and repeats no request."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

from slixmpp.plugins.base import register_plugin
from slixmpp.plugins.xep_0198 import XEP_0198
from slixmpp.plugins.xep_0198.stream_management import MAX_SEQ
from slixmpp.stanza import Iq

# Seconds. What the server keeps meanwhile for a resumption is little beside what it may keep.
ANSWERED_AFTER = 0.01


class Resumption(NamedTuple):
    """What the next connection needs to go on where this one ended."""

    id: str
    jid: str
    handled: int
    sent: int
    acknowledged: int
    unacknowledged: tuple[tuple[int, Any], ...]


# The library's plugin is not typed.
_Base: Any = XEP_0198


class StreamManagement(_Base):  # type: ignore[misc]
    """The library's plugin, mended: a resumption over a stream that is not ours is refused, requests stay unsent.

    Whoever made a request was told that it failed, so it must not be executed later. The server asks how much has come
    with every stanza, and again once it is answered: that has time until what came was applied.
    """

    name = "stream_management"
    _pending: asyncio.TimerHandle | None = None

    def carry(self) -> Resumption | None:
        """What to resume with, or None when the server offered no resumption."""
        if not self.sm_id:
            return None
        return Resumption(
            self.sm_id, self.xmpp.boundjid.full, self.handled, self.seq, self.last_ack, tuple(self.unacked_queue)
        )

    def resume_with(self, resumption: Resumption) -> None:
        """Take over from an earlier connection."""
        self.sm_id = resumption.id
        self.handled = resumption.handled
        self.seq = resumption.sent
        self.last_ack = resumption.acknowledged
        self.unacked_queue = deque(resumption.unacknowledged)

    def _handle_resumed(self, stanza: Any) -> None:
        if not self.xmpp.authenticated:
            self.xmpp.abort()
            return
        super()._handle_resumed(stanza)

    def answer(self) -> None:
        """Say how much has come, if the server has asked and was not answered yet."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
            self.send_ack()

    def count(self) -> None:
        """A stanza came that the library is not shown."""
        if self.enabled_in:
            self.handled = (self.handled + 1) % MAX_SEQ

    def asked(self) -> None:
        """The server wants to know how much has come."""
        if self._pending is None:
            self._pending = self.xmpp.loop.call_later(ANSWERED_AFTER, self.answer)

    def _handle_request_ack(self, req: Any) -> None:
        self.asked()

    def _handle_ack(self, ack: Any) -> None:
        super()._handle_ack(ack)
        if ack.name == "resumed":
            # The counters start over from what the server has; only answers and presence are sent again.
            self.unacked_queue = deque(entry for entry in self.unacked_queue if not _is_request(entry[1]))


def _is_request(stanza: Any) -> bool:
    return isinstance(stanza, Iq) and stanza.xml.get("type") in ("get", "set")


register_plugin(StreamManagement)

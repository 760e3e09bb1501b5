"""Stream management (XEP-0198) that resumes on a new connection and repeats no request."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from slixmpp.plugins.base import register_plugin
from slixmpp.plugins.xep_0198 import XEP_0198
from slixmpp.stanza import Iq


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

    Whoever made a request was told that it failed, so it must not be executed later. The server's question how much
    has come is answered once what came with it was handed on.
    """

    name = "stream_management"

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

    def _handle_request_ack(self, req: Any) -> None:
        # Servers ask with each stanza. What came before is handed on by the loop before anything is answered; the
        # answer counts what has been handled by then.
        self.xmpp.loop.call_soon(self.send_ack)

    def _handle_ack(self, ack: Any) -> None:
        super()._handle_ack(ack)
        if ack.name == "resumed":
            # The counters start over from what the server has; only answers and presence are sent again.
            self.unacked_queue = deque(entry for entry in self.unacked_queue if not _is_request(entry[1]))


def _is_request(stanza: Any) -> bool:
    return isinstance(stanza, Iq) and stanza.xml.get("type") in ("get", "set")


register_plugin(StreamManagement)

"""What tells a connection that its server is still there."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from typing import cast

import pytest

from pubsub_cached import errors
from pubsub_cached.xmpp.connection import Subscriber, _Attempt
from pubsub_cached.xmpp.management import Resumption
from pubsub_cached.xmpp.port import Endpoint


class Asking:
    """A subscriber whose questions are never answered. comes: after how many of them something else comes."""

    def __init__(self, comes: int) -> None:
        endpoint = Endpoint("alice@localhost", "localhost", tls="none")
        self.asked = 0
        session = Resumption("session", "alice@localhost/here", 0, 0, 0, ())
        self.attempt = _Attempt(endpoint, "", None, cast("Subscriber", self), session)
        self._comes = comes

    def attached(self, client: object) -> None:
        pass

    def up(self, resumed: bool) -> None:
        pass

    def detached(self) -> None:
        pass

    def iq(self, xml: ET.Element) -> bool:
        return True

    async def alive(self, quick: bool) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.asked <= self._comes:
            self.attempt.client.heard_at = asyncio.get_running_loop().time()
        raise errors.NoAnswer("There was no answer.")


@pytest.mark.parametrize("comes", [0, 1, 5])
async def test_a_server_is_left_once_nothing_comes_in_place_of_an_answer(comes: int) -> None:
    """A large reply over a slow line is before it, and would have to come again over another connection."""
    subscriber = Asking(comes)
    attempt = subscriber.attempt
    attempt.client.heard_at = asyncio.get_running_loop().time() - 1
    attempt.resumed()
    attempt.doubt()
    assert (await attempt.client.ended).error == errors.Timeout.dbus_name
    assert subscriber.asked == comes + 1
    attempt.detach()


@pytest.mark.parametrize("answered", [False, True])
async def test_a_session_that_was_resumed_in_vain_is_not_resumed_once_more(answered: bool) -> None:
    """What was sent as it was lost may keep its server from ever answering over it."""
    attempt = Asking(0).attempt
    attempt.client.heard_at = asyncio.get_running_loop().time() - 1
    attempt.resumed()
    if answered:
        attempt.iq(ET.Element("iq", type="result"))
    attempt.doubt()
    await attempt.client.ended
    attempt.detach()
    assert (attempt.resumption() is not None) is answered

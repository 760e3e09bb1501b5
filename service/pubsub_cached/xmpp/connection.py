"""Staying connected: one connection after the other, with backoff between them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import xml.etree.ElementTree as ET
from typing import Protocol

import msgspec

from .. import errors
from ..config import is_loopback
from ..jid import domain
from ..threads import in_thread
from . import sasl
from .client import Client, Ending
from .management import Resumption
from .port import Endpoint, PasswordSource, SessionState

log = logging.getLogger(__name__)

# Seconds: from the first byte to a session, and what is left of that when the network has changed meanwhile; the first
# and longest pause; how long a session must have lasted to count as a success; silence after which the server is asked
# whether it is still there.
ATTEMPT = 60.0
HURRY = 10.0
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
LASTING = 60.0
SILENCE = 120.0

CONFLICT = f"{errors.PREFIX}Xmpp.Conflict"


class Subscriber(Protocol):
    """Who uses the stream; the session."""

    def state(self, state: SessionState, error: str = "", message: str = "") -> None:
        """The connection's state, but for ``online``."""

    def attached(self, client: Client) -> None:
        """A new stream is negotiated, and not online yet."""

    async def prepare(self) -> None:
        """Get what a new session needs before it is online."""

    def up(self, resumed: bool) -> None:
        """The session is online."""

    def detached(self) -> None:
        """The stream is gone."""

    async def alive(self, quick: bool) -> None:
        """Return when the server answers, or soon if ``quick``; raises Timeout."""

    def message(self, xml: ET.Element) -> None:
        """A message came."""

    def iq(self, xml: ET.Element) -> bool:
        """An IQ came; whether it was for somebody."""


class Refused(errors.Named):
    """The account can't connect as it is set up; trying again would not help."""


class Connection:
    """Keeps a session connected from ``open`` to ``close``."""

    def __init__(self, endpoint: Endpoint, password: PasswordSource, subscriber: Subscriber) -> None:
        self._endpoint = endpoint
        self._source = password
        self._subscriber = subscriber
        self._task: asyncio.Task[None] | None = None
        self._attempt: _Attempt | None = None
        self._retry = asyncio.Event()
        self._failures = 0

    @property
    def wanted(self) -> bool:
        """Whether it is to be connected."""
        return self._task is not None

    def open(self) -> None:
        """Connect; while waiting, at once instead of later."""
        self._retry.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._stay(), name=f"session of {self._endpoint.jid}")

    def network_changed(self, up: bool) -> None:
        """Ask an open stream for a sign of life; when ``up``, begin anew with attempts where there is none."""
        if up:
            self._failures = 0
            self._retry.set()
        if self._attempt is not None:
            self._attempt.doubt()

    async def close(self) -> None:
        """End the stream and stop connecting."""
        task, attempt = self._task, self._attempt
        self._task = self._attempt = None
        if attempt is not None:
            # At once, for whoever opens it again while the server takes its time.
            attempt.detach()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _stay(self) -> None:
        """Connect again and again until something final happens."""
        try:
            self._subscriber.state("connecting")
            endpoint, context, password = self._endpoint, _tls(self._endpoint), await self._password()
            resumption: Resumption | None = None
            accepted = False
            while True:
                self._subscriber.state("connecting")
                self._retry.clear()
                attempt = self._attempt = _Attempt(endpoint, password, context, self._subscriber, resumption)
                ending = await attempt.run()
                self._attempt = None
                accepted = accepted or attempt.client.authenticated
                if ending.final and not accepted:
                    raise Refused(ending.error, ending.message)
                if ending.final:
                    # What is refused now was changed at the server, and then maybe where it is kept as well. Or there
                    # is a network in between, as until somebody has logged in to it.
                    context = _tls(endpoint)
                    if ending.error == errors.AuthenticationFailed.dbus_name:
                        password, accepted = await self._another(password, ending), False
                if ending.error == CONFLICT:
                    # Whoever has the resource keeps it (RFC 6120 4.9.3.3), and the server chooses another one.
                    endpoint = msgspec.structs.replace(endpoint, resource="")
                resumption = attempt.resumption()
                self._failures = 0 if attempt.lasted else self._failures + 1
                await self._pause(ending, self._failures)
        except errors.PubSubCachedError as problem:
            log.warning("%s: %s", self._endpoint.jid, problem.message)
            self._fail(problem.name, problem.message)
        except Exception as problem:
            log.exception("The session of %s failed", self._endpoint.jid)
            self._fail(errors.Internal.dbus_name, f"The session failed: {problem}.")

    def _fail(self, error: str, message: str) -> None:
        # Whoever is told may open again at once.
        if self._task is asyncio.current_task():
            self._task = None
            self._subscriber.state("failed", error, message)

    async def _another(self, tried: str, ending: Ending) -> str:
        """The password that is kept by now. Raises Refused where that is the one that was tried."""
        password = await self._password()
        if password == tried:
            raise Refused(ending.error, ending.message)
        return password

    async def _password(self) -> str:
        # It may run a program or ask a keyring.
        password = await in_thread(self._source, "password")
        if not password:
            raise errors.AuthenticationFailed(f"There is no password for {self._endpoint.jid}; set one.")
        if not sasl.usable(password):
            raise errors.AuthenticationFailed(
                f"The password of {self._endpoint.jid} holds characters that no server accepts (RFC 4013)."
            )
        return password

    async def _pause(self, ending: Ending, failures: int) -> None:
        pause = pause_after(failures)
        log.info("%s: %s Trying again in %.1f s", self._endpoint.jid, ending.message, pause)
        self._subscriber.state("waiting", ending.error, ending.message)
        try:
            async with asyncio.timeout(pause):
                await self._retry.wait()
        except TimeoutError:
            return


def pause_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row: exponential, with jitter."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 16)) if failures else FIRST_PAUSE
    return longest * random.uniform(0.5, 1.0)


class _Attempt:
    """One connection from its first byte to its end; a client's owner."""

    def __init__(
        self,
        endpoint: Endpoint,
        password: str,
        context: ssl.SSLContext | None,
        subscriber: Subscriber,
        resumption: Resumption | None,
    ) -> None:
        self.client = Client(endpoint, password, context, self, resumption)
        self._given = resumption
        self._subscriber: Subscriber | None = subscriber
        self._loop = asyncio.get_running_loop()
        self._up_since: float | None = None
        self._work: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._doubt = asyncio.Event()
        # Whether a request was answered, and whether the session was given up because none was.
        self._answered = self._mute = False

    async def run(self) -> Ending:
        """Connect and return how it ended."""
        self._limit(ATTEMPT)
        self.client.ended.add_done_callback(lambda _: self.detach())
        self.client.open()
        try:
            return await asyncio.shield(self.client.ended)
        except asyncio.CancelledError:
            await self.client.quit()
            raise
        finally:
            self.detach()

    @property
    def lasted(self) -> bool:
        """Whether there was a session for a while."""
        return self._up_since is not None and self._loop.time() - self._up_since > LASTING

    def doubt(self) -> None:
        """The network has changed: what was begun over the old one may hang."""
        self._doubt.set()
        if self._up_since is None and self._deadline is not None:
            self._limit(min(HURRY, max(0.0, self._deadline.when() - self._loop.time())))

    def resumption(self) -> Resumption | None:
        """What the next attempt may resume with.

        Nothing of a session that was lost before anybody knew of it, nor of one that was resumed in vain: Prosody 0.12
        goes on reading a stanza that was cut off, and takes all that follows for a part of it.
        """
        carried = None if self._mute else self.client.carry()
        began = carried is not None and (self._given is None or carried.id != self._given.id)
        return None if began and self._up_since is None else carried

    def detach(self) -> None:
        """Tell nobody anything any more; requests fail now."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._work is not None:
            self._work.cancel()
        subscriber, self._subscriber = self._subscriber, None
        if subscriber is not None:
            subscriber.detached()

    # The client's owner

    def started(self) -> None:
        self._begin(resumed=False)

    def resumed(self) -> None:
        self._begin(resumed=True)

    def message(self, xml: ET.Element) -> None:
        if self._subscriber is not None:
            self._subscriber.message(xml)

    def iq(self, xml: ET.Element) -> bool:
        taken = self._subscriber is not None and self._subscriber.iq(xml)
        self._answered = self._answered or (taken and xml.get("type") in ("result", "error"))
        return taken

    def _limit(self, seconds: float) -> None:
        """There must be a session by then."""
        if self._deadline is not None:
            self._deadline.cancel()
        late = Ending(False, errors.Timeout.dbus_name, f"{self.client.place} did not open a session in time.")
        self._deadline = self._loop.call_later(seconds, self.client.end, late)

    def _begin(self, resumed: bool) -> None:
        subscriber = self._subscriber
        if subscriber is None or self._work is not None:
            return
        subscriber.attached(self.client)
        if resumed:
            self._up(subscriber, resumed=True)
        self._work = self._loop.create_task(self._serve(subscriber, resumed))

    def _up(self, subscriber: Subscriber, resumed: bool) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._up_since = self._loop.time()
        subscriber.up(resumed)

    async def _serve(self, subscriber: Subscriber, resumed: bool) -> None:
        """Prepare a new session, then see to it that the server is still there."""
        try:
            if not resumed:
                await subscriber.prepare()
                self._up(subscriber, resumed=False)
            while True:
                doubted = await self._silence()
                self._doubt.clear()
                asked = self._loop.time()
                try:
                    await subscriber.alive(doubted)
                except errors.Timeout:
                    if self.client.heard_at < asked:
                        raise
                    # What came since is a sign of life as well, unless it was on its way already: a large reply over a
                    # slow line is before the answer.
                    self._doubt.set()
        except (errors.Timeout, errors.Offline) as problem:
            self._mute = resumed and not self._answered and isinstance(problem, errors.Timeout)
            self.client.end(Ending(False, problem.name, problem.message))
        except Exception as problem:
            log.exception("A session could not be used")
            self.client.end(Ending(False, errors.Internal.dbus_name, f"The session could not be used: {problem}."))

    async def _silence(self) -> bool:
        """Return once nothing came for long, or at once when in doubt; whether it is doubt."""
        while (left := self.client.heard_at + SILENCE - self._loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    return await self._doubt.wait()
        return self._doubt.is_set()


def _tls(endpoint: Endpoint) -> ssl.SSLContext | None:
    """The context that verifies the server; None for plain text, towards loopback only.

    Raises Refused.
    """
    target = endpoint.host or domain(endpoint.jid)
    if endpoint.tls == "none":
        if is_loopback(target):
            return None
        message = f"tls 'none' is possible towards loopback only, not towards '{target}'; use 'starttls' or 'direct'."
        raise Refused(errors.InvalidArgs.dbus_name, message)
    try:
        return ssl.create_default_context(cafile=endpoint.ca_file or None)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        message = f"The ca-file '{endpoint.ca_file}' of {endpoint.jid} can't be used: {reason}."
        raise Refused(errors.InvalidArgs.dbus_name, message) from None

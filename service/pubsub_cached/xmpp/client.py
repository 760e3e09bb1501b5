"""One connection of slixmpp, with what the library leaves open closed.

A client lives for one connection and is never connected again: ``ended`` says how it ended, and what it
can hand on to the next (``carry``) is the state of stream management.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import ssl
import xml.etree.ElementTree as ET
from typing import Any, NamedTuple, Protocol

from slixmpp import JID
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.stanza import Iq
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath
from slixmpp.xmlstream.stanzabase import StanzaBase

from ..errors import PREFIX, AuthenticationFailed, Offline, camel
from . import payload, sasl
from .management import Resumption, StreamManagement
from .port import Endpoint
from .stanzas import CLIENT
from .stream import STREAM, Stream

log = logging.getLogger(__name__)
# It logs whole stanzas, secrets among them, and formats each twice: never at the daemon's own level.
logging.getLogger("slixmpp").setLevel(logging.CRITICAL)

MESSAGE = CLIENT + "message"
IQ = CLIENT + "iq"
ASKED = "{urn:xmpp:sm:3}r"
SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
# Seconds that the server has to close its side of the stream.
FAREWELL = 2.0
STREAM_ERRORS = "{urn:ietf:params:xml:ns:xmpp-streams}"
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
OUT_OF_DATE = (9, 10)
# What is left of an error of the system in one that tells of several.
_ERRNO = re.compile(r"\[Errno (\d+)\]")


class Ending(NamedTuple):
    """How a connection ended. final: trying again by itself would not help."""

    final: bool
    error: str
    message: str


class Owner(Protocol):
    """Who is told what a connection brings; all calls are in the stream's order."""

    def started(self) -> None:
        """A new session is bound; nothing was sent over it yet."""

    def resumed(self) -> None:
        """The earlier session goes on; what it missed follows."""

    def message(self, xml: ET.Element) -> None:
        """A message came."""

    def iq(self, xml: ET.Element) -> bool:
        """An IQ came; False leaves a request to the default answer, feature-not-implemented."""


class Client(Stream):
    """A connection to the account's server. context: None for plain text towards loopback."""

    def __init__(
        self,
        endpoint: Endpoint,
        password: str,
        context: ssl.SSLContext | None,
        owner: Owner,
        resumption: Resumption | None = None,
    ) -> None:
        resource = f"/{endpoint.resource}" if endpoint.resource else ""
        mechanisms = {"use_mechs": list(sasl.MECHANISMS), "unencrypted_scram": context is None}
        loop = asyncio.get_running_loop()
        super().__init__(
            endpoint.jid + resource,
            password,
            plugin_config={"feature_mechanisms": mechanisms},
            ssl_context=context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            loop=loop,
        )
        self.enable_direct_tls = endpoint.tls == "direct"
        self.enable_starttls = endpoint.tls == "starttls"
        self.enable_plaintext = endpoint.tls == "none"
        self.default_port = 5223 if self.enable_direct_tls else 5222
        self.ended: asyncio.Future[Ending] = loop.create_future()
        self.heard_at = loop.time()
        self._endpoint = endpoint
        self.plain = context is None
        self._owner = owner
        self._problem = ""
        self.register_plugin(StreamManagement.name)
        plugins: Any = self.plugin
        self.management: StreamManagement = plugins[StreamManagement.name]
        self._mechanisms: Any = plugins["feature_mechanisms"]
        if resumption is not None:
            self.boundjid = JID(resumption.jid)
            self.management.resume_with(resumption)
            # A connection that is lost before it could resume leaves the session to the next one.
            self.end_session_on_disconnect = False
        # After stream management has counted it: the library's own serialiser loses namespaced attributes.
        self.add_filter("out_sce", _written)
        self._replace_handlers()

    def _replace_handlers(self) -> None:
        # Tracking presence answers subscription requests; a stream error may redirect to another name; a failed
        # mechanism is followed by the next one. None of that is wanted here.
        for name in ("IM", "IMError", "Presence", "Stream Error", "Roster Update", "SASL Failure"):
            self.remove_handler(name)
        for name, tag, callback in (
            ("iq", IQ, self._iq_left),
            ("presence", CLIENT + "presence", lambda _: None),
            ("stream error", STREAM + "error", self._stream_error),
            ("SASL failure", SASL + "failure", self._sasl_failure),
        ):
            self.register_handler(Callback(name, MatchXPath(tag), callback))
        # Later than session_start: stream management is on by then.
        self.add_event_handler("stream_negotiated", self._negotiated)
        self.add_event_handler("session_resumed", lambda _: self._owner.resumed())
        self.add_event_handler("connection_failed", self._connection_failed)
        self.add_event_handler("ssl_invalid_chain", self._tls_failed)
        self.add_event_handler("failed_all_auth", self._no_mechanism)
        self.add_event_handler("killed", lambda _: self.end(self._lost("")))

    # Beginning and end

    @property
    def place(self) -> str:
        """Where the connection goes, for sentences."""
        host = self._endpoint.host or self.requested_jid.domain
        return f"{host} port {self._endpoint.port}" if self._endpoint.port else host

    @property
    def over(self) -> bool:
        """Whether the connection has ended."""
        return self.ended.done()

    def open(self) -> None:
        """Begin to connect: to the given host, or by SRV (RFC 6120 3.2)."""
        host, port = self._endpoint.host, self._endpoint.port
        # Plain text never leaves it to DNS where it goes.
        if port or host or self.plain:
            port = port or self.default_port
            host = host or self.requested_jid.domain
        attempt = self.connect(host or None, port or None)
        attempt.add_done_callback(self._attempt_done)

    def end(self, ending: Ending) -> None:
        """Cut the connection; the first reason counts."""
        if not self.ended.done():
            self.ended.set_result(ending)
        self.cancel_connection_attempt()
        if self.transport is not None:
            self.transport.abort()
        if self._run_out_filters is not None:
            self._run_out_filters.cancel()

    async def quit(self) -> None:
        """Close the stream politely (RFC 6120 4.4), or cut it after FAREWELL seconds."""
        if self.transport is not None and not self.ended.done():
            self.close_stream()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.ended), FAREWELL)
        self.end(self._lost(""))

    def close_stream(self) -> None:
        """The library's own, after what the server still wants to know: else it takes what came for lost."""
        self.management.answer()
        super().close_stream()

    def carry(self) -> Resumption | None:
        """What the next connection may resume with."""
        return self.management.carry()

    def connection_lost(self, exception: BaseException | None) -> None:
        super().connection_lost(exception)
        if isinstance(exception, ssl.SSLError):
            self._tls_failed(exception)
        self.end(self._lost(f": {exception}" if exception else ""))

    def reschedule_connection_attempt(self) -> None:
        """All addresses failed; when to try again is not the library's business."""
        self._current_connection_attempt = None
        self.end(Ending(False, Offline.dbus_name, self._problem or f"{self.place} can't be reached."))

    def _attempt_done(self, attempt: asyncio.Future[Any]) -> None:
        if not attempt.cancelled() and attempt.exception() is not None:
            problem = f"{self.place} can't be reached: {attempt.exception()}."
            self.end(Ending(False, Offline.dbus_name, problem))

    def _lost(self, reason: str) -> Ending:
        return Ending(False, Offline.dbus_name, f"The connection to {self.place} was lost{reason}.")

    def refuse(self, message: str, *, final: bool = False) -> None:
        self.end(Ending(final, Offline.dbus_name, message))

    # Negotiation

    async def _handle_stream_features(self, features: Any) -> Any:
        if not self.secured and "starttls" not in features["features"]:
            self.refuse(
                f"{self.place} offers no TLS, so no password is sent. Check host and port, use tls 'direct' if the "
                "port expects it, or ask the server's operator.",
                final=True,
            )
            return None
        try:
            return await super()._handle_stream_features(features)
        except (IqError, IqTimeout) as problem:
            message = f"{self.place} did not bind a session of {self.requested_jid}: {problem.condition}."
            self.end(Ending(False, f"{PREFIX}Xmpp.{camel(problem.condition)}", message))
            return None

    def _negotiated(self, _: object) -> None:
        if self.ended.done():
            return
        if not self.bound or self.boundjid.bare != self.requested_jid.bare:
            self.refuse(f"{self.place} did not bind a session of {self.requested_jid}.")
            return
        self._owner.started()

    def _connection_failed(self, reason: OSError) -> None:
        if isinstance(reason, ssl.SSLError):
            self._tls_failed(reason)
        elif isinstance(reason, socket.gaierror):
            problem = "no address of it is known. Is the name right, and the network there?"
            self._problem = f"{self.place} can't be reached: {problem}"
        else:
            self._problem = f"{self.place} can't be reached: {_why(reason)}."

    def _tls_failed(self, reason: ssl.SSLError) -> None:
        domain = self.requested_jid.domain
        if isinstance(reason, ssl.SSLCertVerificationError):
            # Time mends that, and whoever renews it: nobody has to say so here.
            dated = reason.verify_code in OUT_OF_DATE
            if dated:
                remedy = "The server's operator has to renew it, unless this machine's clock is wrong."
            else:
                remedy = "Check the server's name, or give the authority that signed it as ca-file."
            said = f"The certificate of {self.place} can't be trusted for {domain}: {reason.verify_message}."
            self.refuse(f"{said} {remedy}", final=not dated)
        else:
            self.refuse(f"{self.place} does not speak TLS as expected: {reason.reason or reason}. Check port and tls.")

    def _no_mechanism(self, _: object) -> None:
        offered = ", ".join(sorted(self._mechanisms.mech_list)) or "none"
        message = f"{self.place} offers no mechanism of the SCRAM family to log in with, only: {offered}."
        self.end(Ending(True, AuthenticationFailed.dbus_name, message))

    def _sasl_failure(self, stanza: StanzaBase) -> None:
        names = [child.tag.removeprefix(SASL) for child in stanza.xml]
        condition = next((name for name in names if name != "text"), "not-authorized")
        if condition in sasl.OTHER_MECHANISM:
            self._mechanisms.attempted_mechs.add(self._mechanisms.mech.name)
            self._mechanisms._send_auth()
            return
        said = stanza.xml.findtext(SASL + "text")
        reason = (said or condition).rstrip(".")
        message = f"{self.place} refused the password of {self.requested_jid.bare}: {reason}."
        self.end(Ending(condition not in sasl.TEMPORARY, AuthenticationFailed.dbus_name, message))

    def _stream_error(self, stanza: StanzaBase) -> None:
        names = [child.tag.removeprefix(STREAM_ERRORS) for child in stanza.xml if child.tag.startswith(STREAM_ERRORS)]
        condition = next((name for name in names if name != "text"), "undefined-condition")
        said = stanza.xml.findtext(STREAM_ERRORS + "text")
        message = f"{self.place} ended the stream: {condition}{f' ({said})' if said else ''}."
        self.end(Ending(False, f"{PREFIX}Xmpp.{camel(condition)}", message))

    # Stanzas

    def _spawn_event(self, xml: ET.Element) -> None:
        """The library's own, but for messages, IQs that somebody takes, and the question how much has come.

        It makes an object of each stanza, of each contact in a roster another, and then looks at it once for each of
        its handlers.
        """
        if self.authenticated and xml.tag == MESSAGE:
            self.management.count()
            self._message(xml)
        elif self.authenticated and xml.tag == ASKED:
            self.management.asked()
        elif self.authenticated and xml.tag == IQ and self._iq(xml):
            self.management.count()
        else:
            super()._spawn_event(xml)

    def _message(self, xml: ET.Element) -> None:
        try:
            self._owner.message(xml)
        except Exception as problem:
            self.exception(problem)

    def _iq(self, xml: ET.Element) -> bool:
        """Whether somebody took it."""
        try:
            return self._owner.iq(xml)
        except Exception as problem:
            self.exception(problem)
            return True

    def _iq_left(self, stanza: Any) -> None:
        # The library answers a handler's exception with an error to whoever sent the stanza.
        try:
            if self.authenticated and stanza["type"] in ("get", "set"):
                stanza.unhandled()
        except Exception as problem:
            self.exception(problem)

    def exception(self, exception: Exception) -> None:
        """A handler failed; the stream goes on."""
        log.error("A handler of %s failed", self.requested_jid.bare, exc_info=exception)

    def request(self, kind: str, to: str, id_: str, child: ET.Element) -> None:
        """Write an IQ."""
        iq = self.Iq(stype=kind, sto=to, sid=id_)
        iq.append(child)
        self.send(iq)

    def answer(self, request: ET.Element, child: ET.Element | None = None) -> None:
        """Write the result of an IQ that came."""
        iq = self.Iq(stype="result", sto=request.get("from") or None, sid=request.get("id", ""))
        if child is not None:
            iq.append(child)
        self.send(iq)

    def announce(self, children: list[ET.Element]) -> None:
        """Write an available presence."""
        presence = self.Presence()
        for child in children:
            presence.append(child)
        self.send(presence)


def _why(reason: OSError) -> str:
    """In the system's words, each once: a host may have several addresses, and failed at each of them."""
    numbers = dict.fromkeys(map(int, _ERRNO.findall(str(reason))))
    return ", ".join(map(os.strerror, numbers)) or str(reason) or "no answer came"


def _written(stanza: Any) -> Any:
    """An IQ as the text that goes out; other stanzas as they are."""
    return payload.stanza(stanza.xml) if isinstance(stanza, Iq) else stanza

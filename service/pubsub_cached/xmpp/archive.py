"""Archives of nodes (XEP-0313): a query, the messages that answer it, and what ends them.

A result is taken for the query whose id it names, from the service that was asked, about the node that was asked, and
no more of them than were asked for; every other message with one is none of ours.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from ..errors import StanzaError
from ..jid import normalised
from . import stanzas
from .port import MAM, TRUE, ArchivePage, Item, Rsm

log = logging.getLogger(__name__)

_MAM = f"{{{MAM}}}"
FORWARDED = "{urn:xmpp:forward:0}forwarded"


class Query:
    """A query under way, and the results that have come."""

    def __init__(self, service: str, node: str, most: int, subject: str) -> None:
        self.id = uuid4().hex
        self._service = service
        self._node = node
        self._most = most
        self._subject = subject
        self._found: list[tuple[str, Item]] = []
        self._strange = ""

    def take(self, sender: str, result: ET.Element) -> None:
        """A result that names this query."""
        if sender != self._service:
            log.warning("A result for %s came from %s and is ignored", self._subject, sender)
        elif len(self._found) == self._most:
            self._strange = f"more than the {self._most} results that were asked for"
        elif (item := _item(result, self._node)) is None:
            self._strange = f"result '{result.get('id', '')}', which is no item of the node"
        else:
            self._found.append((result.get("id", ""), item))

    def end(self, iq: ET.Element) -> ArchivePage:
        """The page, once all of it has come; raises StanzaError where it is not what was asked for."""
        fin = iq.find(_MAM + "fin")
        if fin is None or self._strange:
            what = self._strange or "no end"
            raise StanzaError("undefined-condition", f"the archive sent {what}", subject=self._subject)
        page = fin.find(stanzas.RSM + "set")
        return ArchivePage(
            ids=tuple(id_ for id_, _ in self._found),
            items=tuple(item for _, item in self._found),
            complete=fin.get("complete") in TRUE,
            count=stanzas.read_count(page) if page is not None else None,
        )


class Queries:
    """The queries of one session."""

    def __init__(self) -> None:
        self._open: dict[str, Query] = {}

    @contextmanager
    def query(self, service: str, node: str, rsm: Rsm, subject: str) -> Iterator[Query]:
        """Take the results of a query meanwhile."""
        query = Query(service, node, rsm.max, subject)
        self._open[query.id] = query
        try:
            yield query
        finally:
            del self._open[query.id]

    def message(self, message: ET.Element) -> None:
        """Take the results in a message."""
        if not self._open:
            return
        for result in message.iterfind(_MAM + "result"):
            query = self._open.get(result.get("queryid", ""))
            if query is not None and message.get("type") != "error":
                query.take(normalised(message.get("from", "")), result)


def request(query: str, node: str, rsm: Rsm) -> ET.Element:
    """A query of a node's archive (XEP-0313 4.1)."""
    element = ET.Element(_MAM + "query", queryid=query, node=node)
    element.append(stanzas.rsm_request(rsm))
    return element


def _item(result: ET.Element, node: str) -> Item | None:
    """The one item that an archived message published, or None."""
    message = result.find(f"{FORWARDED}/{stanzas.CLIENT}message")
    items = message.find(f"{stanzas.EVENT}event/{stanzas.EVENT}items") if message is not None else None
    if items is None or items.get("node") != node or len(items) != 1:
        return None
    element = items[0]
    if element.tag.rpartition("}")[2] != "item" or not element.get("id"):
        return None
    return stanzas.read_item(element)

"""The requests of a session: what the port asks, written as XML, and the replies as its records."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ..errors import StanzaError
from . import archive, stanzas, writing
from .port import (
    Affiliation,
    ArchivePage,
    DiscoInfo,
    DiscoItem,
    DiscoPage,
    Fields,
    FormField,
    ItemsPage,
    Rsm,
    Subscription,
)
from .requests import Requests, offline

# A service that pages disco#items unasked is followed so far, in pages and entries.
DISCO_PAGES = 1000
DISCO_ENTRIES = 100_000


class Asking:
    """The requests of ``port.Session``; ``account`` asks, as long as it is online."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._requests = Requests(account)
        self._queries = archive.Queries()
        self._online = False

    @property
    def online(self) -> bool:
        """Whether requests can be made now."""
        return self._online

    async def get_items(
        self,
        service: str,
        node: str,
        *,
        max_items: int | None = None,
        ids: Sequence[str] = (),
        rsm: Rsm | None = None,
        timeout: float = 60.0,
    ) -> ItemsPage:
        """Items of a node (XEP-0060 6.5)."""
        subject = _subject(service, node)
        request = stanzas.items_request(node, max_items, ids, rsm)
        iq = await self._ask("get", service, request, subject, timeout)
        return await stanzas.read_items(iq, subject, node, ids)

    async def get_archive(self, service: str, node: str, rsm: Rsm, *, timeout: float = 30.0) -> ArchivePage:
        """What a node's archive holds (XEP-0313)."""
        subject = _subject(service, node)
        with self._queries.query(service, node, rsm, subject) as query:
            request = archive.request(query.id, node, rsm)
            return query.end(await self._ask("set", service, request, subject, timeout))

    async def disco_info(self, service: str, node: str = "", *, timeout: float = 30.0) -> DiscoInfo:
        """disco#info of a service or node (XEP-0060 5.4)."""
        subject = _subject(service, node)
        iq = await self._ask("get", service, stanzas.disco_request(stanzas.DISCO_INFO, node), subject, timeout)
        return stanzas.read_disco_info(iq, subject, node)

    async def disco_items(self, service: str, node: str = "", *, timeout: float = 30.0) -> tuple[DiscoItem, ...]:
        """disco#items of a service or node, all pages of it (XEP-0060 5.5)."""
        subject = _subject(service, node)
        found: dict[DiscoItem, None] = {}
        page: Rsm | None = None
        for _ in range(DISCO_PAGES):
            request = stanzas.disco_request(stanzas.DISCO_ITEMS, node, page)
            iq = await self._ask("get", service, request, subject, timeout)
            items, last = stanzas.read_disco_items(iq, subject, node)
            known = len(found)
            found |= dict.fromkeys(items)
            if last is None or len(found) == known:
                return tuple(found)
            if len(found) > DISCO_ENTRIES:
                break
            page = Rsm(max=len(items), after=last)
        # What is missing in a part of the list would be taken for gone.
        raise StanzaError("undefined-condition", f"the list goes on after {len(found)} entries", subject=subject)

    async def disco_page(self, service: str, node: str, rsm: Rsm, *, timeout: float = 30.0) -> DiscoPage:
        """A page of disco#items, or all of it from a service that does not page (XEP-0059)."""
        subject = _subject(service, node)
        request = stanzas.disco_request(stanzas.DISCO_ITEMS, node, rsm)
        return stanzas.read_disco_page(await self._ask("get", service, request, subject, timeout), subject, node)

    async def subscribe(
        self, service: str, node: str, *, options: Fields | None = None, timeout: float = 30.0
    ) -> Subscription:
        """Subscribe the bare JID (XEP-0060 6.1)."""
        subject = _subject(service, node)
        request = stanzas.subscribe_request(node, self._account, options)
        iq = await self._ask("set", service, request, subject, timeout)
        return stanzas.read_subscription(iq, subject, node, self._account)

    async def unsubscribe(self, service: str, node: str, subid: str = "", *, timeout: float = 30.0) -> None:
        """Unsubscribe the bare JID (XEP-0060 6.2)."""
        request = stanzas.unsubscribe_request(node, self._account, subid)
        await self._ask("set", service, request, _subject(service, node), timeout)

    async def subscriptions(self, service: str, node: str = "", *, timeout: float = 30.0) -> tuple[Subscription, ...]:
        """The account's subscriptions at a service, or to one node (XEP-0060 5.6)."""
        subject = _subject(service, node)
        iq = await self._ask("get", service, stanzas.subscriptions_request(node), subject, timeout)
        return stanzas.read_subscriptions(iq, node, self._account)

    async def affiliations(self, service: str, *, timeout: float = 30.0) -> tuple[Affiliation, ...]:
        """The account's affiliations at a service (XEP-0060 5.7)."""
        return writing.read_affiliations(
            await self._ask("get", service, writing.affiliations_request(), service, timeout)
        )

    # Requests that change something

    async def publish(
        self,
        service: str,
        node: str,
        item_id: str,
        payload: str,
        *,
        options: Fields | None = None,
        timeout: float = 30.0,
    ) -> str:
        """Publish one item; its id (XEP-0060 7.1)."""
        request = writing.publish_request(node, item_id, payload, options or {})
        return writing.read_published(await self._set(service, node, request, timeout), item_id)

    async def retract(
        self, service: str, node: str, item_id: str, *, notify: bool = True, timeout: float = 30.0
    ) -> None:
        """Retract one item (XEP-0060 7.2)."""
        # It is one of several that were asked for at once.
        subject = f"item '{item_id}' of {_subject(service, node)}"
        await self._ask("set", service, writing.retract_request(node, item_id, notify), subject, timeout)

    async def create_node(self, service: str, node: str, *, config: Fields | None = None, timeout: float = 30.0) -> str:
        """Create a node; its name (XEP-0060 8.1)."""
        iq = await self._set(service, node, writing.create_request(node, config or {}), timeout)
        return writing.read_created(iq, node)

    async def node_configuration(self, service: str, node: str, *, timeout: float = 30.0) -> tuple[FormField, ...]:
        """A node's configuration (XEP-0060 8.2)."""
        subject = _subject(service, node)
        iq = await self._ask("get", service, writing.owner_request("configure", node), subject, timeout)
        return writing.read_configuration(iq, subject)

    async def configure_node(self, service: str, node: str, config: Fields, *, timeout: float = 30.0) -> None:
        """Change fields of a node's configuration (XEP-0060 8.2.4)."""
        await self._set(service, node, writing.configure_request(node, config), timeout)

    async def delete_node(self, service: str, node: str, *, timeout: float = 30.0) -> None:
        """Delete a node (XEP-0060 8.4)."""
        await self._set(service, node, writing.owner_request("delete", node), timeout)

    async def purge_node(self, service: str, node: str, *, timeout: float = 30.0) -> None:
        """Remove all items of a node (XEP-0060 8.5)."""
        await self._set(service, node, writing.owner_request("purge", node), timeout)

    async def _set(self, service: str, node: str, request: ET.Element, timeout: float) -> ET.Element:
        return await self._ask("set", service, request, _subject(service, node), timeout)

    async def _ask(self, kind: str, service: str, child: ET.Element, subject: str, timeout: float) -> ET.Element:
        if not self._online:
            raise offline(self._account, subject)
        return await self._requests.ask(kind, service, child, subject=subject, timeout=timeout)


def _subject(service: str, node: str) -> str:
    return f"'{node}' at {service}" if node else service

"""The requests of a session of the fake: what the port asks, and which answer of the service it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from ..port import (
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
from . import answers, writing

if TYPE_CHECKING:
    from .service import Service

P = ParamSpec("P")
T = TypeVar("T")


class Asking:
    """The requests of ``port.Session``; ``jid`` asks."""

    jid: str

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
        return await self._ask(
            "get_items", service, node, timeout, answers.items, max_items=max_items, ids=tuple(ids), rsm=rsm
        )

    async def get_archive(self, service: str, node: str, rsm: Rsm, *, timeout: float = 30.0) -> ArchivePage:
        """What a node's archive holds (XEP-0313)."""
        return await self._ask("get_archive", service, node, timeout, answers.archive, rsm=rsm)

    async def disco_info(self, service: str, node: str = "", *, timeout: float = 30.0) -> DiscoInfo:
        """disco#info of a service or node (XEP-0060 5.4)."""
        return await self._ask("disco_info", service, node, timeout, answers.info)

    async def disco_items(self, service: str, node: str = "", *, timeout: float = 30.0) -> tuple[DiscoItem, ...]:
        """disco#items of a service or node (XEP-0060 5.5)."""
        return await self._ask("disco_items", service, node, timeout, answers.listing)

    async def disco_page(self, service: str, node: str, rsm: Rsm, *, timeout: float = 30.0) -> DiscoPage:
        """A page of disco#items (XEP-0059)."""
        return await self._ask("disco_page", service, node, timeout, answers.listing_page, rsm=rsm)

    async def subscribe(
        self, service: str, node: str, *, options: Fields | None = None, timeout: float = 30.0
    ) -> Subscription:
        """Subscribe the bare JID (XEP-0060 6.1)."""
        return await self._ask("subscribe", service, node, timeout, answers.subscribe, options=options)

    async def unsubscribe(self, service: str, node: str, subid: str = "", *, timeout: float = 30.0) -> None:
        """Unsubscribe the bare JID (XEP-0060 6.2)."""
        await self._ask("unsubscribe", service, node, timeout, answers.unsubscribe, subid=subid)

    async def subscriptions(self, service: str, node: str = "", *, timeout: float = 30.0) -> tuple[Subscription, ...]:
        """The account's subscriptions at a service, or to one node (XEP-0060 5.6)."""
        return await self._ask("subscriptions", service, node, timeout, answers.subscriptions)

    async def affiliations(self, service: str, *, timeout: float = 30.0) -> tuple[Affiliation, ...]:
        """The account's affiliations (XEP-0060 5.7)."""
        return await self._ask("affiliations", service, "", timeout, writing.affiliations)

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
        """Publish one item (XEP-0060 7.1)."""
        given = options or {}
        return await self._ask(
            "publish", service, node, timeout, writing.publish, item_id=item_id, payload=payload, options=given
        )

    async def retract(
        self, service: str, node: str, item_id: str, *, notify: bool = True, timeout: float = 30.0
    ) -> None:
        """Retract one item (XEP-0060 7.2)."""
        await self._ask("retract", service, node, timeout, writing.retract, item_id=item_id, notify=notify)

    async def create_node(self, service: str, node: str, *, config: Fields | None = None, timeout: float = 30.0) -> str:
        """Create a node (XEP-0060 8.1)."""
        return await self._ask("create_node", service, node, timeout, writing.create, config=config or {})

    async def node_configuration(self, service: str, node: str, *, timeout: float = 30.0) -> tuple[FormField, ...]:
        """A node's configuration (XEP-0060 8.2)."""
        return await self._ask("node_configuration", service, node, timeout, writing.configuration)

    async def configure_node(self, service: str, node: str, config: Fields, *, timeout: float = 30.0) -> None:
        """Change fields of a node's configuration (XEP-0060 8.2.4)."""
        await self._ask("configure_node", service, node, timeout, writing.configure, config=config)

    async def delete_node(self, service: str, node: str, *, timeout: float = 30.0) -> None:
        """Delete a node (XEP-0060 8.4)."""
        await self._ask("delete_node", service, node, timeout, writing.delete)

    async def purge_node(self, service: str, node: str, *, timeout: float = 30.0) -> None:
        """Remove all items of a node (XEP-0060 8.5)."""
        await self._ask("purge_node", service, node, timeout, writing.purge)

    async def _ask(
        self,
        kind: str,
        service: str,
        node: str,
        timeout: float,
        answer: Callable[Concatenate[Service, str, str, P], T],
        *args: P.args,
        **arguments: P.kwargs,
    ) -> T:
        """What the service answers to ``jid``, who asks about the node; the arguments are noted with the request."""
        raise NotImplementedError

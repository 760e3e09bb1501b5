"""``im.pubsubcache1.PubSub``: what is written to services, and asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..address import Address
from ..bus import Records, Variant, caller
from ..cache.options import LIMIT_AT_MOST
from ..errors import InvalidArgs
from ..records import AFFILIATION, DISCOVERED, SUBSCRIPTION
from . import fields
from .fields import PUBSUB, FieldsTable
from .options import LIMIT, Flag, Table, Text, Token
from .served import Served

PUBLISH = FieldsTable("Publish", {"queue": Flag(), "token": Token()}, prefix=PUBSUB)
RETRACT = Table("Retract", {"notify": Flag(), "queue": Flag(), "token": Token()})
SUBSCRIBE = FieldsTable("Subscribe", {}, prefix=PUBSUB)
UNSUBSCRIBE = Table("Unsubscribe", {"subid": Text()})
LIST_SUBSCRIPTIONS = Table("ListSubscriptions", {"limit": LIMIT, "cursor": Text()})
LIST_AFFILIATIONS = Table("ListAffiliations", {"limit": LIMIT, "cursor": Text()})
DISCOVER = Table("Discover", {"node": Text(), "type": Text(), "limit": LIMIT, "cursor": Text()})
CREATE_NODE = FieldsTable("CreateNode", {})
GET_NODE_CONFIG = Table("GetNodeConfig", {})
CONFIGURE_NODE = FieldsTable("ConfigureNode", {})
DELETE_NODE = Table("DeleteNode", {})
DELETE_ALL_ITEMS = Table("DeleteAllItems", {})


class PubSub(Served):
    """Requests to services; the cache follows what they change."""

    name: ClassVar[str] = "im.pubsubcache1.PubSub"
    sandboxed: ClassVar[frozenset[str]] = frozenset(
        {"ListSubscriptions", "ListAffiliations", "Discover", "GetNodeConfig"}
    )
    options: ClassVar[Mapping[str, Table]] = {
        table.method: table
        for table in (
            PUBLISH,
            RETRACT,
            SUBSCRIBE,
            UNSUBSCRIBE,
            LIST_SUBSCRIPTIONS,
            LIST_AFFILIATIONS,
            DISCOVER,
            CREATE_NODE,
            GET_NODE_CONFIG,
            CONFIGURE_NODE,
            DELETE_NODE,
            DELETE_ALL_ITEMS,
        )
    }

    async def Publish(
        self, account: str, service: str, node: str, item_id: str, payload: str, options: Mapping[str, Variant]
    ) -> str:
        given = PUBLISH.read(options)
        queue = _queue("Publish", given)
        address = self._address(account, service, node)
        checked = await self.house.payloads.check(address, payload)
        if queue:
            token = given.get("token", "")
            return await self.house.outbox.publish(address, item_id, checked, given["fields"], caller(), token)
        return await self.house.writing.publish(address, item_id, checked, given["fields"])

    async def Retract(
        self, account: str, service: str, node: str, ids: list[str], options: Mapping[str, Variant]
    ) -> None:
        given = RETRACT.read(options)
        queue, notify = _queue("Retract", given), given.get("notify", True)
        if not ids or "" in ids:
            raise InvalidArgs("Retract was given no id, or an empty one; name the items that are to go.")
        if len(ids) > LIMIT_AT_MOST:
            raise InvalidArgs(
                f"Retract was given {len(ids)} ids, and {LIMIT_AT_MOST} is the most; retract them by parts."
            )
        address = await self._in_turn(self._address(account, service, node))
        if queue:
            await self.house.outbox.retract(address, ids, notify, caller(), given.get("token", ""))
        else:
            await self.house.writing.retract(address, ids, notify=notify)

    async def Subscribe(self, account: str, service: str, node: str, options: Mapping[str, Variant]) -> str:
        given = SUBSCRIBE.read(options)
        address = await self._in_turn(self._address(account, service, node))
        return await self.house.subscribing.subscribe(address, given["fields"])

    async def Unsubscribe(self, account: str, service: str, node: str, options: Mapping[str, Variant]) -> None:
        given = UNSUBSCRIBE.read(options)
        address = await self._in_turn(self._address(account, service, node))
        await self.house.subscribing.unsubscribe(address, given.get("subid", ""))

    async def ListSubscriptions(
        self, account: str, service: str, options: Mapping[str, Variant]
    ) -> tuple[Records, str]:
        given = LIST_SUBSCRIPTIONS.read(options)
        address = self.address(account, service, "")
        found, cursor = await self.house.discovery.subscriptions(address, **given)
        return Records([one for one in found if self._listed(address, one["node"])], SUBSCRIPTION), cursor

    async def ListAffiliations(self, account: str, service: str, options: Mapping[str, Variant]) -> tuple[Records, str]:
        given = LIST_AFFILIATIONS.read(options)
        address = self.address(account, service, "")
        found, cursor = await self.house.discovery.affiliations(address, **given)
        return Records([one for one in found if self._listed(address, one["node"])], AFFILIATION), cursor

    async def Discover(self, account: str, service: str, options: Mapping[str, Variant]) -> tuple[Records, str]:
        given = DISCOVER.read(options)
        address = self.address(account, service, given.pop("node", ""))
        found, cursor = await self.house.discovery.nodes(address, **given)
        listed = [one for one in found if self._listed(address._replace(service=one["jid"]), one.get("node", ""))]
        return Records(listed, DISCOVERED), cursor

    async def CreateNode(self, account: str, service: str, node: str, config: Mapping[str, Variant]) -> str:
        given = CREATE_NODE.read(config)
        address = await self._in_turn(self.address(account, service, node))
        return await self.house.writing.create(address, given["fields"])

    async def GetNodeConfig(
        self, account: str, service: str, node: str, options: Mapping[str, Variant]
    ) -> dict[str, Variant]:
        GET_NODE_CONFIG.read(options)
        address = await self._in_turn(self._address(account, service, node))
        return fields.variants(await self.house.writing.configuration(address))

    async def ConfigureNode(self, account: str, service: str, node: str, config: Mapping[str, Variant]) -> None:
        given = CONFIGURE_NODE.read(config)
        await self.house.writing.configure(await self._in_turn(self._address(account, service, node)), given["fields"])

    async def DeleteNode(self, account: str, service: str, node: str, options: Mapping[str, Variant]) -> None:
        DELETE_NODE.read(options)
        await self.house.writing.delete(await self._in_turn(self._address(account, service, node)))

    async def DeleteAllItems(self, account: str, service: str, node: str, options: Mapping[str, Variant]) -> None:
        DELETE_ALL_ITEMS.read(options)
        await self.house.writing.purge(await self._in_turn(self._address(account, service, node)))

    def _listed(self, address: Address, node: str) -> bool:
        """Whether a node of this service is there for the caller."""
        return self.visible is None or not self.house.privacy.private(address._replace(node=node))

    async def _in_turn(self, address: Address) -> Address:
        """A node of which something is asked, once all that is to be published to it before was asked for."""
        await self.house.payloads.checked(address)
        return address

    def _address(self, account: str, service: str, node: str) -> Address:
        if not node:
            raise InvalidArgs("The node is ''; nothing can be done to a service as a whole, so name a node.")
        return self.address(account, service, node)


def _queue(method: str, given: Mapping[str, object]) -> bool:
    """Whether to queue; a token names the job that there is only then."""
    queue = bool(given.get("queue", False))
    if "token" in given and not queue:
        raise InvalidArgs(f"{method} was given a 'token' without 'queue'; it names the job of what is queued.")
    return queue

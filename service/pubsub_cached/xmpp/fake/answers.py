"""The replies of a service of the fake, as one account gets them."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import StanzaError
from ...jid import bare, domain
from ..port import ArchivePage, DiscoInfo, DiscoItem, DiscoPage, Fields, ItemsPage, Rsm, Subscription
from .door import Unanswered
from .profile import PUBSUB
from .service import Service


def items(
    service: Service,
    jid: str,
    name: str,
    *,
    max_items: int | None = None,
    ids: Sequence[str] = (),
    rsm: Rsm | None = None,
) -> ItemsPage:
    """Items of a node (XEP-0060 6.5); where pages are not honoured the whole node comes without a set."""
    node = service.admit(name, jid)
    if ids:
        picked = node.pick(ids)
        if picked is None:
            raise StanzaError("item-not-found", subject=name)
        page = ItemsPage(items=picked)
    elif rsm is not None and service.profile.rsm:
        page = node.page(rsm)
    else:
        page = ItemsPage(items=node.newest(max_items))
        if service.profile.rsm and len(page.items) < min(max_items or len(node.entries), len(node.entries)):
            # What was cut is a page, although none was asked for.
            page = node.page(Rsm(max=len(page.items), before=""))
    service.check_size(page.items)
    return page


def archive(service: Service, jid: str, name: str, rsm: Rsm) -> ArchivePage:
    """A page of a node's archive (XEP-0313); an account's own archive has nothing of a node, and says no more."""
    if service.profile.archive == "none":
        raise StanzaError("service-unavailable", subject=name)
    if service.profile.archive == "personal":
        if service.owner != jid:
            raise StanzaError("forbidden", subject=name)
        return ArchivePage(complete=True, count=0)
    page = service.admit(name, jid).archive(rsm)
    if page is None:
        raise StanzaError("item-not-found", subject=name)
    return page


def info(service: Service, jid: str, name: str) -> DiscoInfo:
    """disco#info of the service, or of a node with its metadata (XEP-0060 5.3, 5.4)."""
    if not name:
        identities = (("account", "registered"), ("pubsub", "pep")) if service.owner else (("pubsub", "service"),)
        return DiscoInfo(identities, service.profile.advertised)
    if name not in service.nodes and service.profile.absent_answers:
        return DiscoInfo((("pubsub", "leaf"),), frozenset({PUBSUB}))
    node = service.admit(name, jid) if service.owner or name not in service.nodes else service.node(name)
    return DiscoInfo((("pubsub", "leaf"),), frozenset({PUBSUB}), node.metadata())


def listing(service: Service, jid: str, name: str) -> tuple[DiscoItem, ...]:
    """disco#items: the nodes of the service, or the item ids of a node (XEP-0060 5.2, 5.5)."""
    if name:
        return tuple(DiscoItem(service.jid, name=item_id) for item_id in service.admit(name, jid).ids())
    return tuple(DiscoItem(service.jid, node.name, node.title) for node in service.nodes.values())


def listing_page(service: Service, jid: str, name: str, rsm: Rsm) -> DiscoPage:
    """A page of disco#items where pages are advertised, else all of it without a set (XEP-0059)."""
    everything = listing(service, jid, name)
    if not service.profile.rsm_advertised:
        return DiscoPage(everything)
    keys = [item.node or item.name for item in everything]
    start = keys.index(rsm.after) + 1 if rsm.after in keys else 0
    page = everything[start : start + rsm.max]
    return DiscoPage(page, rsm=True, last=keys[start + len(page) - 1] if page else None)


def subscribe(service: Service, jid: str, name: str, options: Fields | None) -> Subscription:
    """Subscribe the bare JID (XEP-0060 6.1); the options change nothing."""
    node = service.nodes.get(name)
    if node is not None and node.access_model == "authorize" and node.affiliations.get(jid) != "outcast":
        return service.take_subscription(node, jid)
    return service.take_subscription(service.admit(name, jid), jid)


def unsubscribe(service: Service, jid: str, name: str, subid: str) -> None:
    """Unsubscribe the bare JID (XEP-0060 6.2), which has one subscription, whatever its id."""
    service.ghosts.discard((name, jid))
    node = service.nodes.get(name)
    if node is None:
        service.admit(name, jid)
    elif node.subscriptions.pop(jid, None) is None:
        raise StanzaError("unexpected-request", "", "not-subscribed", subject=name)


def subscriptions(service: Service, jid: str, name: str) -> tuple[Subscription, ...]:
    """Subscriptions of the account and of its resources, at the service or to one node (XEP-0060 5.6)."""
    if not name and not service.lists_subscriptions:
        raise Unanswered
    nodes = [service.admit(name, jid)] if name else list(service.nodes.values())
    if service.profile.lists_accounts:
        others = [other for other in service.world.services.values() if other.owner and other is not service]
        at_domain = [other for other in others if domain(other.jid) == domain(jid)]
        nodes += [node for other in at_domain for node in other.nodes.values() if name in ("", node.name)]
    made = [found for node in nodes for who, found in node.subscriptions.items() if bare(who) == jid]
    known = {(found.node, found.jid) for found in made}
    names = {node.name for node in nodes}
    ghosts = [Subscription(*ghost, "subscribed") for ghost in service.ghosts if ghost not in known]
    return (*(ghost for ghost in ghosts if ghost.node in names and ghost.jid == jid), *made)

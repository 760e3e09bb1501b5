"""Who may read a node of the fake, and what those who may not are told (XEP-0060 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import StanzaError
from .node import Node

if TYPE_CHECKING:
    from .world import World


def refusal(world: World, node: Node, jid: str) -> StanzaError | None:
    """Why this bare JID may not read the node or subscribe to it; None when it may."""
    affiliation = node.affiliation(jid)
    if affiliation in ("outcast", "publish-only"):
        return StanzaError("forbidden", subject=node.name)
    if affiliation in ("owner", "publisher", "member") or node.access_model == "open":
        return None
    kept = node.profile.tightened == "kept" or node.access_model == "authorize"
    if (kept and node.subscribed(jid)) or _known_to_owner(world, node, jid):
        return None
    return _denied(node)


def denial_of_absent(world: World, profile_hides: bool, owner: str, jid: str) -> StanzaError:
    """The answer to a request for a node that does not exist."""
    if profile_hides and jid != owner and not world.sees(jid, owner):
        return StanzaError("forbidden")
    return StanzaError("item-not-found")


def _known_to_owner(world: World, node: Node, jid: str) -> bool:
    match node.access_model:
        case "presence":
            return world.sees(jid, node.owner)
        case "roster":
            return bool(world.groups(node.owner, jid) & node.roster_groups)
        case _:
            return False


def _denied(node: Node) -> StanzaError:
    if node.profile.forbids_plainly:
        return StanzaError("forbidden", subject=node.name)
    match node.access_model:
        case "presence":
            return StanzaError("not-authorized", "", "presence-subscription-required", subject=node.name)
        case "roster":
            return StanzaError("not-authorized", "", "not-in-roster-group", subject=node.name)
        case "authorize":
            return StanzaError("forbidden", subject=node.name)
        case _:
            return StanzaError("not-allowed", "", "closed-node", subject=node.name)

"""What a service's refusal means: of a read for the reader and the node, of an unsubscription for what there was.

Source: dbus-api.md "Errors", coherence.md "Unit and states", server-facts.md "Errors".
"""

from __future__ import annotations

from typing import Literal

from ... import errors
from ...address import Address
from ...store.rows import NodeRow
from ..options import ReadOptions
from ..place import Place

Meaning = Literal["gone", "denied", "unreachable", "offline", "cancelled", "other"]

# RFC 6120 8.3.3, and payment-required as XEP-0060 6.5.9 has it.
_DENIED = frozenset(
    {"forbidden", "not-authorized", "payment-required", "registration-required", "subscription-required"}
)
_DENIED_PUBSUB = frozenset({"closed-node", "presence-subscription-required", "not-in-roster-group", "not-subscribed"})
_UNREACHABLE = frozenset({"remote-server-not-found", "remote-server-timeout", "service-unavailable"})
# Conditions of item-not-found that are about something else than the node.
_NOT_ABSENT = frozenset({"not-subscribed", "invalid-subid"})


def meaning(error: errors.PubSubCachedError) -> Meaning:
    """What a failed read says about the node."""
    if isinstance(error, errors.Offline):
        return "offline"
    if isinstance(error, errors.Cancelled):
        return "cancelled"
    if isinstance(error, errors.NoAnswer):
        return "unreachable"
    if isinstance(error, errors.NoSuchNode):
        return "gone"
    if isinstance(error, errors.Denied):
        return "denied"
    if not isinstance(error, errors.StanzaError):
        return "other"
    if error.condition in _DENIED or error.pubsub_condition in _DENIED_PUBSUB:
        return "denied"
    if error.condition in ("item-not-found", "gone") and error.pubsub_condition not in _NOT_ABSENT:
        return "gone"
    return "unreachable" if error.condition in _UNREACHABLE else "other"


def says_none(error: errors.PubSubCachedError) -> bool:
    """Whether a refused unsubscription says that there is no subscription (XEP-0060 6.2.3)."""
    if not isinstance(error, errors.StanzaError):
        return False
    return error.pubsub_condition == "not-subscribed" or error.condition in ("item-not-found", "gone")


def redirect(error: errors.PubSubCachedError) -> str:
    """Where a node went, as far as the refusal says: a URI within ``gone`` (RFC 6120 8.3.3.5)."""
    said = error.text if isinstance(error, errors.StanzaError) and error.condition == "gone" else ""
    return said if said.startswith("xmpp:") else ""


def for_reader(error: errors.PubSubCachedError, address: Address, redirect: str) -> errors.PubSubCachedError:
    """The error that a read of this node reports; redirect: where it went, as far as that is known."""
    if not isinstance(error, errors.StanzaError):
        return error
    match meaning(error):
        case "gone":
            return errors.NoSuchNode(f"There is no node {address} ({_said(error)}){_moved(redirect)}.")
        case "denied":
            return errors.Denied(f"{address.account} may not read {address} ({_said(error)}).")
        case _:
            return errors.Named(error.xmpp_name, f"A read of {address} was answered with {_said(error)}.")


def of_node(node: NodeRow) -> errors.PubSubCachedError:
    """What a read of a node that is denied or gone reports, without asking its service."""
    if node.state == "denied":
        return errors.Denied(f"{node.address.account} may not read {node.address} ({node.reason}).")
    return errors.NoSuchNode(f"{node.address} is gone{_moved(node.redirect)}.")


def _moved(redirect: str) -> str:
    return f"; it moved to {redirect}" if redirect else ""


def _said(error: errors.StanzaError) -> str:
    """The service's condition and, where it gave one, its text."""
    condition = error.pubsub_condition or error.condition
    return f"{condition}: {error.text.rstrip('.')}" if error.text else condition


def reason(error: errors.PubSubCachedError) -> str:
    """A short word for the node's ``reason``: the condition where there is one."""
    if isinstance(error, errors.StanzaError):
        return error.pubsub_condition or error.condition
    return "timeout" if isinstance(error, errors.Timeout) else type(error).__name__.lower()


def no_such_item(options: ReadOptions, place: Place) -> errors.PubSubCachedError:
    """What is said of a place to page from that is not there."""
    if place.walks:
        return errors.InvalidCursor(
            f"The cursor '{options.cursor}' goes on behind what the service gave, and where that is can't be told "
            "now; begin again without it."
        )
    if options.cursor:
        return errors.InvalidCursor(f"The item of the cursor '{options.cursor}' is gone; begin again without it.")
    id_ = options.before if options.before else place.after[-1]
    return errors.NoSuchItem(f"There is no item '{id_}' to page from; begin again without it.")

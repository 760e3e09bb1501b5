"""What a session of the fake changes at a service, and who may (XEP-0060 4.1, 7, 8)."""

from __future__ import annotations

from typing import Any

from ...errors import StanzaError
from ..port import TRUE, Affiliation, Fields, FormField
from .node import Node
from .service import Service

# Fields of a node's configuration: attribute of Node and type of the field.
_CONFIG = {
    "pubsub#title": ("title", "text-single"),
    "pubsub#description": ("description", "text-single"),
    "pubsub#type": ("node_type", "text-single"),
    "pubsub#access_model": ("access_model", "list-single"),
    "pubsub#publish_model": ("publish_model", "list-single"),
    "pubsub#roster_groups_allowed": ("roster_groups", "list-multi"),
    "pubsub#max_items": ("max_items", "text-single"),
    "pubsub#item_expire": ("item_expire", "text-single"),
    "pubsub#send_last_published_item": ("send_last", "list-single"),
    "pubsub#deliver_notifications": ("deliver_notifications", "boolean"),
    "pubsub#deliver_payloads": ("deliver_payloads", "boolean"),
    "pubsub#notify_delete": ("notify_delete", "boolean"),
    "pubsub#notify_config": ("notify_config", "boolean"),
}
# What "max" comes to; of the servers each has a limit of its own.
_MOST_ITEMS = 1000


def publish(service: Service, jid: str, name: str, item_id: str, payload: str, options: Fields) -> str:
    """Publish an item; the event goes out before the reply."""
    if refused := service.profile.refused_options.intersection(options):
        raise StanzaError("resource-constraint", f"Unknown field '{min(refused)}'", subject=name)
    if name not in service.nodes and service.owner == jid:
        _apply(service, service.create_node(name, owner=jid), options)
    node = service.existing(name, jid)
    if node.publish_model != "open" and node.affiliation(jid) not in ("owner", "publisher", "publish-only"):
        raise StanzaError("forbidden", subject=name)
    if any(_values(node, field) != list(values) for field, values in options.items() if field in _config(service)):
        raise StanzaError("conflict", "", "precondition-not-met", subject=name)
    id_ = service.publish(name, item_id, payload, publisher=jid)
    return id_ if service.profile.id_in_reply else item_id


def retract(service: Service, jid: str, name: str, item_id: str, notify: bool) -> None:
    """Retract an item."""
    node = service.existing(name, jid)
    if node.affiliation(jid) not in ("owner", "publisher"):
        raise StanzaError("forbidden", subject=name)
    if item_id not in node.entries:
        raise StanzaError("item-not-found", subject=f"item '{item_id}' of {name}")
    service.retract(name, item_id, notify=notify)


def create(service: Service, jid: str, name: str, config: Fields) -> str:
    """Create a node, with a name of the service's where none is given."""
    if service.owner and service.owner != jid:
        raise StanzaError("forbidden", subject=name)
    if name in service.nodes:
        raise StanzaError("conflict", subject=name)
    name = name or f"instant-{len(service.nodes) + 1}"
    _apply(service, service.create_node(name, owner=jid), config)
    return name


def configuration(service: Service, jid: str, name: str) -> tuple[FormField, ...]:
    """The configuration, as a form to be filled in."""
    node = _owned(service, jid, name)
    return tuple(FormField(field, tuple(_values(node, field)), type_) for field, (_, type_) in _config(service).items())


def configure(service: Service, jid: str, name: str, config: Fields) -> None:
    """Change the configuration, and tell as the service does."""
    node = _owned(service, jid, name)
    _apply(service, node, config)
    service.configure(name)


def delete(service: Service, jid: str, name: str) -> None:
    """Delete a node."""
    _owned(service, jid, name)
    service.delete(name)


def purge(service: Service, jid: str, name: str) -> None:
    """Remove all items."""
    _owned(service, jid, name)
    service.purge(name)


def affiliations(service: Service, jid: str, _name: str) -> tuple[Affiliation, ...]:
    """What the account is to the nodes to which it is something."""
    found = ((name, node.affiliation(jid)) for name, node in service.nodes.items())
    return tuple(Affiliation(name, affiliation) for name, affiliation in found if affiliation != "none")


def _owned(service: Service, jid: str, name: str) -> Node:
    node = service.existing(name, jid)
    if node.affiliation(jid) != "owner":
        raise StanzaError("forbidden", subject=name)
    return node


def _config(service: Service) -> dict[str, tuple[str, str]]:
    """The fields that the service has."""
    lacking = {"pubsub#item_expire"} if service.profile.expires == "ignored" else set()
    return {field: how for field, how in _CONFIG.items() if field not in lacking}


def _values(node: Node, field: str) -> list[str]:
    value = getattr(node, _CONFIG[field][0])
    if isinstance(value, bool):
        return ["1" if value else "0"]
    return sorted(value) if isinstance(value, frozenset) else [str(value)]


def _apply(service: Service, node: Node, config: Fields) -> None:
    known = _config(service)
    for field, values in config.items():
        if field not in known:
            continue
        attribute, type_ = known[field]
        value: Any = values[0] if values else ""
        if type_ == "boolean":
            value = value in TRUE
        elif type_ == "list-multi":
            value = frozenset(values)
        elif attribute == "max_items":
            if not value.isdecimal() and value != "max":
                raise StanzaError("not-acceptable", f"{field} is no number", subject=node.name)
            value = _MOST_ITEMS if value == "max" else int(value)
        elif attribute == "item_expire" and not (value.isdecimal() or value == "max"):
            raise StanzaError("not-acceptable", f"{field} is no number", subject=node.name)
        setattr(node, attribute, value)

"""Whether a definition fits a node, how well, and why."""

from __future__ import annotations

from .definition import Definition, Subject

# Sorts the best first: not excluded, -priority, kind of selector, -length of the node's prefix, name.
Rank = tuple[bool, int, int, int, str]

EXACT, PREFIX, NODE_TYPE, NAMESPACE = range(4)


def examine(definition: Definition, subject: Subject) -> tuple[Rank | None, str]:
    """The rank of a definition for a node, None when it does not match, and a sentence that says why."""
    if definition.own and not subject.address.own:
        return None, "It is for the account's own service only."
    selector, why = _selector(definition, subject)
    if selector is None:
        return None, why
    length = len(definition.node) if selector in (EXACT, PREFIX) else 0
    return (not definition.excluded, -definition.priority, selector, -length, definition.name), why


def _selector(definition: Definition, subject: Subject) -> tuple[int | None, str]:
    """The most specific selector that fits; any one suffices."""
    node = subject.address.node
    missed = []
    if definition.node:
        if definition.exact and node == definition.node:
            return EXACT, f"The node is '{definition.node}'."
        if not definition.exact and node.startswith(definition.node):
            return PREFIX, f"The node begins with '{definition.node}'."
        missed.append(f"the node {'is not' if definition.exact else 'does not begin with'} '{definition.node}'")
    if definition.node_type:
        if subject.node_type == definition.node_type:
            return NODE_TYPE, f"pubsub#type is '{definition.node_type}'."
        missed.append(f"pubsub#type is {_said(subject.node_type)}, not '{definition.node_type}'")
    if definition.namespace:
        if subject.namespace == definition.namespace:
            return NAMESPACE, f"The payload's namespace is '{definition.namespace}'."
        missed.append(f"the payload's namespace is {_said(subject.namespace)}, not '{definition.namespace}'")
    return None, f"No match: {'; '.join(missed)}."


def _said(value: str | None) -> str:
    return f"'{value}'" if value else "unknown"

"""Shared files, a node a directory (XEP-0498)."""

from __future__ import annotations

import msgspec

from .. import shared_file
from ..definition import Definition
from ..item import Item
from ..shared_file import File

NODE = "urn:xmpp:pubsub-file-sharing:0"
SHAPES: dict[str, type[msgspec.Struct]] = {"file/file": File}


def parse(item: Item) -> File | None:
    """A file; the item's id is its name when it does not say so itself."""
    if item.element.tag != shared_file.TAG:
        item.strange("no shared file")
        return None
    return shared_file.parse(item, item.element, item.context.id)


DEFINITIONS = (
    Definition(
        name="files",
        type="file",
        subtype="file",
        node=NODE,
        node_type=NODE,
        kind="map",
        to_sync=True,
        demand=True,
        parser=parse,
    ),
)

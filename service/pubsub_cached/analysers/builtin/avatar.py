"""User avatars (XEP-0084): the description and the picture."""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec
from msgspec import UNSET, UnsetType

from .. import uris, values, xml
from ..definition import Definition
from ..item import Item

METADATA = "urn:xmpp:avatar:metadata"
DATA = "urn:xmpp:avatar:data"


class AvatarInfo(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One format of the picture.

    id: its SHA-1, and the id of its item on ``urn:xmpp:avatar:data`` of the same service; url: where it is instead.
    """

    id: str
    bytes: int | UnsetType = UNSET
    type: str
    width: int | UnsetType = UNSET
    height: int | UnsetType = UNSET
    url: str = ""


class AvatarMetadata(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What avatar somebody shows; pointers: how many point to other services."""

    disabled: bool
    info: list[AvatarInfo] = []
    pointers: int


class AvatarData(msgspec.Struct, kw_only=True):
    """About a picture, whose Base64 is in the payload; sha1_ok: the item's id is its hash."""

    sha1: str
    bytes: int
    sha1_ok: bool


SHAPES: dict[str, type[msgspec.Struct]] = {"avatar/metadata": AvatarMetadata, "avatar/data": AvatarData}


def parse(item: Item) -> AvatarMetadata | AvatarData | None:
    """A description or a picture, by the payload: XEP-0084 itself shows the one on the other's node."""
    if item.element.tag == f"{{{METADATA}}}metadata":
        item.subtype = "metadata"
        return _metadata(item)
    if item.element.tag == f"{{{DATA}}}data":
        item.subtype = "data"
        return _data(item)
    item.strange("no avatar")
    return None


def _metadata(item: Item) -> AvatarMetadata:
    metadata = AvatarMetadata(disabled=False, pointers=0)
    for child in item.element:
        match child.tag.removeprefix(f"{{{METADATA}}}"):
            case "info":
                if not child.get("id"):
                    item.error("<info>: the attribute 'id' is missing.")
                    continue
                metadata.info.append(
                    AvatarInfo(
                        id=child.get("id", ""),
                        bytes=values.natural(item, "<info bytes>", child.get("bytes")),
                        type=child.get("type", ""),
                        width=values.natural(item, "<info width>", child.get("width")),
                        height=values.natural(item, "<info height>", child.get("height")),
                        url=uris.clean(child.get("url", "")),
                    )
                )
            case "pointer":
                metadata.pointers += 1
    # Empty, or with <stop/> as earlier versions had it.
    metadata.disabled = not metadata.info and not metadata.pointers and not item.errors
    return metadata


def _data(item: Item) -> AvatarData | None:
    try:
        picture = base64.b64decode("".join(xml.text(item.element).split()), validate=True)
    except (binascii.Error, ValueError):
        item.error("<data> is no Base64.")
        return None
    sha1 = hashlib.sha1(picture, usedforsecurity=False).hexdigest()
    return AvatarData(sha1=sha1, bytes=len(picture), sha1_ok=sha1 == item.context.id.lower())


DEFINITIONS = (
    Definition(
        name="avatar",
        type="avatar",
        subtype="metadata",
        node=METADATA,
        exact=True,
        kind="last",
        to_sync=True,
        parser=parse,
    ),
    Definition(
        name="avatar-data",
        type="avatar",
        subtype="data",
        node=DATA,
        exact=True,
        kind="map",
        to_sync=True,
        demand=True,
        parser=parse,
    ),
)

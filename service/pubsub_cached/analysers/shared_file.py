"""Files shared by reference (XEP-0447 with 0446, 0300, 0264, 0103 and 0358), wherever they are embedded."""

from __future__ import annotations

from typing import Literal

import msgspec
from lxml.etree import _Element
from msgspec import UNSET, UnsetType

from . import uris, values, xml
from .item import Item
from .values import Date, LangText

NAMESPACE = "urn:xmpp:sfs:0"
TAG = f"{{{NAMESPACE}}}file-sharing"
URL_DATA = "{http://jabber.org/protocol/url-data}url-data"
_METADATA = "{urn:xmpp:file:metadata:0}"
_HASH = "{urn:xmpp:hashes:2}hash"
_THUMBNAIL = "{urn:xmpp:thumbs:1}thumbnail"
_JINGLE_PUB = "{urn:xmpp:jinglepub:1}jinglepub"


class Hash(msgspec.Struct):
    """A hash of the file; value in Base64."""

    algo: str
    value: str


class Thumbnail(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A small picture of the file; width and height in pixels."""

    uri: str
    media_type: str = ""
    width: int | UnsetType = UNSET
    height: int | UnsetType = UNSET


class Source(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Where the file is: at ``href`` (kind url), or at ``jid`` by ``id`` (kind jinglepub)."""

    kind: Literal["url", "jinglepub"]
    href: str = ""
    jid: str = ""
    id: str = ""


class File(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A file; size in bytes, dimensions as ``WIDTHxHEIGHT`` in pixels."""

    name: str
    media_type: str = ""
    size: int | UnsetType = UNSET
    desc: list[LangText] = []
    date: Date = ""
    dimensions: str = ""
    hashes: list[Hash] = []
    thumbnails: list[Thumbnail] = []
    sources: list[Source] = []


def parse(item: Item, element: _Element, name: str = "") -> File:
    """The file that a ``<file-sharing/>`` describes.

    name: what it is called when it does not say so.
    """
    file = File(name=name)
    if (metadata := xml.child(element, f"{_METADATA}file")) is not None:
        _metadata(item, metadata, file)
    if (sources := xml.child(element, f"{{{NAMESPACE}}}sources")) is not None:
        for source in sources:
            if source.tag == URL_DATA and (href := uris.clean(source.get("target", ""))):
                file.sources.append(Source(kind="url", href=href))
            elif source.tag == _JINGLE_PUB and (jid := uris.normalised_jid(source.get("from", ""))):
                file.sources.append(Source(kind="jinglepub", jid=jid, id=source.get("id", "")))
    return file


def within(item: Item, element: _Element) -> list[File]:
    """The files directly within an element."""
    return [parse(item, child) for child in element.iterchildren(TAG)]


def _metadata(item: Item, metadata: _Element, file: File) -> None:
    width = height = ""
    for child in metadata:
        content = xml.text(child)
        match child.tag.removeprefix(_METADATA):
            case "name":
                file.name = content or file.name
            case "media-type":
                file.media_type = content
            case "size":
                file.size = values.natural(item, "<size>", content)
            case "desc":
                file.desc.extend(values.variants([child], xml.language(metadata)))
            case "date":
                file.date = values.date(item, "<date>", content)
            case "dimensions":
                file.dimensions = content
            case "width":
                width = content
            case "height":
                height = content
            case tag if tag == _HASH and content:
                file.hashes.append(Hash(child.get("algo", ""), content))
            case tag if tag == _THUMBNAIL:
                _thumbnail(item, child, file)
    if width and height and not file.dimensions:
        file.dimensions = f"{width}x{height}"


def _thumbnail(item: Item, element: _Element, file: File) -> None:
    if uri := uris.clean(element.get("uri", "")):
        file.thumbnails.append(
            Thumbnail(
                uri=uri,
                media_type=element.get("media-type", ""),
                width=values.natural(item, "<thumbnail width>", element.get("width")),
                height=values.natural(item, "<thumbnail height>", element.get("height")),
            )
        )

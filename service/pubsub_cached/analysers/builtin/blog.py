"""Blogs and everything else that is written in Atom: XEP-0277, XEP-0472, XEP-0501, XEP-0508, RFC 4287."""

from __future__ import annotations

import msgspec
from lxml.etree import _Element
from msgspec import UNSET, UnsetType

from .. import geoloc, markup, uris, values, xml
from ..definition import Analysis, Definition, Subject
from ..geoloc import Geoloc
from ..item import Item
from ..markup import Markup
from ..uris import ItemRef
from ..values import Date

ATOM = "http://www.w3.org/2005/Atom"
THREAD = "http://purl.org/syndication/thread/1.0"
MICROBLOG = "urn:xmpp:microblog:0"
SOCIAL_FEED = "urn:xmpp:pubsub-social-feed"

# Relations may be written as the registry's own URIs (RFC 4287 4.2.7.2).
_RELATIONS = "http://www.iana.org/assignments/relation/"
_ATOM = f"{{{ATOM}}}"
_IN_REPLY_TO = f"{{{THREAD}}}in-reply-to"
_COUNT = f"{{{THREAD}}}count"


class Author(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A person (RFC 4287 3.2); jid: bare, from the ``xmpp:`` URI."""

    name: str = ""
    uri: str = ""
    email: str = ""
    jid: str = ""


class Category(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A tag (RFC 4287 4.2.2)."""

    term: str
    label: str = ""
    scheme: str = ""


class Enclosure(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A file beside the post; length in bytes as the author says."""

    href: str
    type: str = ""
    title: str = ""
    length: int | UnsetType = UNSET


class Link(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A link (RFC 4287 4.2.7) that no other key holds."""

    rel: str
    href: str
    type: str = ""
    title: str = ""
    length: int | UnsetType = UNSET


class Comments(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A node with comments (XEP-0277 3); count as the author says (RFC 4685 5)."""

    service: str
    node: str
    title: str = ""
    count: int | UnsetType = UNSET


class InReplyTo(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What the post answers (RFC 4685 3)."""

    ref: str = ""
    href: str = ""
    type: str = ""


class Generator(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The program that wrote the post."""

    name: str
    uri: str = ""
    version: str = ""


class Entry(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A post or comment; dates are UTC.

    author_verified: the service says that the first author published it.
    repeat_of: the post that this one passes on (XEP-0277 2.6).
    """

    atom_id: str = ""
    title: list[Markup] = []
    summary: list[Markup] = []
    content: list[Markup] = []
    published: Date = ""
    updated: Date = ""
    authors: list[Author] = []
    author_verified: bool
    categories: list[Category] = []
    links: list[Link] = []
    enclosures: list[Enclosure] = []
    comments: list[Comments] = []
    in_reply_to: list[InReplyTo] = []
    repeat_of: ItemRef | UnsetType = UNSET
    geoloc: Geoloc | UnsetType = UNSET
    generator: Generator | UnsetType = UNSET
    language: str = ""


class Metadata(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The feed's own item (XEP-0277 5); start: the post that a node of comments belongs to."""

    atom_id: str = ""
    title: list[Markup] = []
    subtitle: str = ""
    updated: Date = ""
    authors: list[Author] = []
    start: ItemRef | UnsetType = UNSET


SHAPES: dict[str, type[msgspec.Struct]] = {
    **{f"blog/{subtype}": Entry for subtype in ("microblog", "comments", "gallery", "stories", "forum", "feed")},
    "blog/metadata": Metadata,
}


def parse(item: Item) -> Entry | Metadata | None:
    """An Atom entry, or the feed element that describes the node."""
    tag = item.element.tag
    if tag == f"{{{ATOM}}}entry":
        item.subtype = item.subtype or _plain_subtype(item.context.address.node)
        return _Reader(item).entry()
    if tag == f"{{{ATOM}}}feed":
        item.subtype = "metadata"
        return _Reader(item).metadata()
    item.strange("no Atom entry")
    return None


def _plain_subtype(node: str) -> str:
    """Atom is a microblog where XEP-0277 puts it and a feed elsewhere."""
    return "microblog" if node.startswith(MICROBLOG) else "feed"


def _classify(subject: Subject, analysis: Analysis) -> None:
    analysis.subtype = _plain_subtype(subject.address.node)


class _Reader:
    """Walks once over the children of an entry or feed."""

    def __init__(self, item: Item) -> None:
        self._item = item
        self._lang = xml.language(item.element)
        self._base = uris.base(item.element)

    def entry(self) -> Entry:
        entry = Entry(author_verified=False, language=self._lang)
        for child in self._item.element:
            tag = child.tag
            if tag.startswith(_ATOM):
                self._entry_child(entry, tag[len(_ATOM) :], child)
            elif tag == _IN_REPLY_TO:
                self._in_reply_to(entry, child)
            elif tag == geoloc.TAG and entry.geoloc is UNSET:
                entry.geoloc = geoloc.parse(self._item, child) or UNSET
        if not entry.authors and (source := xml.child(self._item.element, f"{_ATOM}source")) is not None:
            # Those of the feed that it is from (RFC 4287 4.2.1).
            base = uris.base(source, self._base)
            entry.authors.extend(self._author(author, base) for author in source.iterchildren(f"{_ATOM}author"))
        self._require(atom_id=entry.atom_id, title=entry.title, updated=entry.updated)
        entry.author_verified = self._verified(entry.authors)
        return entry

    def metadata(self) -> Metadata:
        feed = Metadata()
        for child in self._item.element:
            tag = child.tag
            if not tag.startswith(_ATOM):
                continue
            match tag[len(_ATOM) :]:
                case "subtitle":
                    if not feed.subtitle and (subtitle := self._markup(child)) is not None:
                        feed.subtitle = subtitle.text
                case "link":
                    if feed.start is UNSET and _relation(child) == "start":
                        feed.start = uris.item_ref(child.get("href", "")) or UNSET
                case "id":
                    feed.atom_id = xml.text(child)
                case "title":
                    self._add(feed.title, child)
                case "updated":
                    feed.updated = values.date(self._item, "<updated>", xml.text(child))
                case "author":
                    feed.authors.append(self._author(child, self._base))
        self._require(atom_id=feed.atom_id, title=feed.title, updated=feed.updated)
        return feed

    def _entry_child(self, entry: Entry, name: str, child: _Element) -> None:
        match name:
            case "title":
                self._add(entry.title, child)
            case "summary":
                self._add(entry.summary, child)
            case "content":
                self._add(entry.content, child)
            case "id":
                entry.atom_id = xml.text(child)
            case "published":
                entry.published = values.date(self._item, "<published>", xml.text(child))
            case "updated":
                entry.updated = values.date(self._item, "<updated>", xml.text(child))
            case "author":
                entry.authors.append(self._author(child, self._base))
            case "category":
                self._category(entry, child)
            case "link":
                self._link(entry, child)
            case "generator":
                entry.generator = self._generator(child)

    def _markup(self, element: _Element) -> Markup | None:
        return markup.construct(self._item, element, self._lang, self._base)

    def _add(self, texts: list[Markup], element: _Element) -> None:
        if (text := self._markup(element)) is not None:
            texts.append(text)

    def _author(self, element: _Element, base: str) -> Author:
        author = Author()
        for child in element:
            match child.tag.removeprefix(_ATOM):
                case "name":
                    author.name = xml.text(child)
                case "uri":
                    author.uri = uris.resolve(xml.text(child), uris.base(child, uris.base(element, base)))
                    author.jid = uris.jid_of(author.uri)
                case "email":
                    author.email = xml.text(child)
        return author

    def _category(self, entry: Entry, element: _Element) -> None:
        if term := element.get("term", "").strip():
            entry.categories.append(
                Category(
                    term=term, label=element.get("label", "").strip(), scheme=uris.clean(element.get("scheme", ""))
                )
            )
        else:
            self._item.error("<category>: the attribute 'term' is missing.")

    def _link(self, entry: Entry, element: _Element) -> None:
        """A link goes to the key that its relation has, else to ``links``."""
        href = uris.resolve(element.get("href", ""), uris.base(element, self._base))
        if not href:
            self._item.error("<link>: the attribute 'href' is missing.")
            return
        relation = _relation(element)
        type, title = element.get("type", "").strip(), element.get("title", "").strip()
        length = values.natural(self._item, "<link length>", element.get("length"))
        if relation == "enclosure":
            entry.enclosures.append(Enclosure(href=href, type=type, title=title, length=length))
        elif relation == "replies" and (node := uris.node_ref(href)) is not None:
            count = values.natural(self._item, "<link thr:count>", element.get(_COUNT))
            entry.comments.append(Comments(service=node.service, node=node.node, title=title, count=count))
        elif relation == "via" and entry.repeat_of is UNSET and (repeated := uris.item_ref(href)) is not None:
            entry.repeat_of = repeated
        else:
            entry.links.append(Link(rel=relation, href=href, type=type, title=title, length=length))

    def _in_reply_to(self, entry: Entry, element: _Element) -> None:
        href = uris.resolve(element.get("href", ""), uris.base(element, self._base))
        ref = uris.clean(element.get("ref", ""))
        if ref or href:
            entry.in_reply_to.append(InReplyTo(ref=ref, href=href, type=element.get("type", "").strip()))
        else:
            self._item.error("<in-reply-to>: the attributes 'ref' and 'href' are missing.")

    def _generator(self, element: _Element) -> Generator | UnsetType:
        if not (name := xml.text(element)):
            return UNSET
        uri = uris.resolve(element.get("uri", ""), uris.base(element, self._base))
        return Generator(name=name, uri=uri, version=element.get("version", "").strip())

    def _verified(self, authors: list[Author]) -> bool:
        """XEP-0277 7.1: what the service says of the publisher against what the first author says of themselves."""
        publisher = uris.bare_jid(self._item.context.publisher)
        return publisher != "" and bool(authors) and authors[0].jid == publisher

    def _require(self, *, atom_id: str, title: list[Markup], updated: str) -> None:
        """RFC 4287 4.1.1, 4.1.2; an unreadable date was named before."""
        if not atom_id:
            self._item.error("<id> is missing.")
        if not title:
            self._item.error("<title> is missing.")
        if not updated and not any(error.startswith("<updated>") for error in self._item.errors):
            self._item.error("<updated> is missing.")


def _relation(link: _Element) -> str:
    relation = link.get("rel", "").strip()
    return relation.removeprefix(_RELATIONS) or "alternate"


def _definition(name: str, subtype: str, *, node: str = "", node_type: str = "", demand: bool = False) -> Definition:
    return Definition(
        name=name,
        type="blog",
        subtype=subtype,
        node=node,
        node_type=node_type,
        to_sync=True,
        demand=demand,
        parser=parse,
    )


# A definition for each subtype that only the node tells: the items all look alike.
DEFINITIONS = (
    Definition(
        name="blog",
        type="blog",
        node=MICROBLOG,
        node_type=f"{SOCIAL_FEED}:1",
        namespace=ATOM,
        to_sync=True,
        parser=parse,
        match=_classify,
    ),
    _definition("blog-comments", "comments", node=f"{MICROBLOG}:comments", demand=True),
    _definition("blog-gallery", "gallery", node_type=f"{SOCIAL_FEED}:gallery:1"),
    _definition("blog-stories", "stories", node=f"{SOCIAL_FEED}:stories:0", node_type=f"{SOCIAL_FEED}:stories:0"),
    _definition("blog-flat-forum", "forum", node_type=f"{SOCIAL_FEED}:flat-forums:0"),
    _definition("blog-threaded-forum", "forum", node_type=f"{SOCIAL_FEED}:threaded-forums:0"),
)

"""Text that may be markup (Atom text constructs, RFC 4287 3.1): sanitised, with plain text beside it."""

from __future__ import annotations

import copy
import html
import re
from functools import lru_cache
from typing import Literal

import msgspec
import nh3
from lxml import etree
from lxml.etree import _Element

from . import uris, xml
from .item import Item

XHTML = "http://www.w3.org/1999/xhtml"

_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "caption", "center", "dd", "details", "div", "dl", "dt"}
    | {"fieldset", "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr"}
    | {"legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot"}
    | {"thead", "tr", "ul"}
)
_INLINE = frozenset(
    {"a", "abbr", "acronym", "b", "bdi", "bdo", "cite", "code", "del", "dfn", "em", "i", "ins", "kbd", "mark", "q"}
    | {"s", "samp", "small", "span", "strike", "strong", "sub", "sup", "td", "th", "time", "tt", "u", "var"}
)
_ATTRIBUTES = {
    "*": {"dir", "lang", "title"},
    "a": {"href", "hreflang"},
    "del": {"datetime"},
    "ins": {"datetime"},
    "time": {"datetime"},
    "ol": {"start", "reversed"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_SCHEMES = {"http", "https", "xmpp", "mailto", "tel", "sms", "geo", "gemini", "gopher", "ftp", "sip", "sips", "magnet"}
_DROPPED_WITH_CONTENT = {"script", "style", "title", "template", "noscript", "iframe", "object", "svg", "math"}

# What the sanitiser writes is regular: lower-case names, "<" and ">" escaped in text and attributes.
_TAG = re.compile(r"<([^\s>]*+)[^>]*>")
_ANY_TAG = re.compile(r"<[^>]*>")
_EMPTY_TAG = re.compile(r"<((?:br|hr)\s[^>]*)>")
_PREFORMATTED = re.compile(r"<pre(?:\s[^>]*)?>(.*?)</pre>", re.DOTALL)
# What stands for a tag in plain text, if anything does.
_BREAKS = dict.fromkeys((f"{end}{name}" for name in _BLOCKS for end in ("", "/")), "\n") | {"/td": " ", "/th": " "}
_PREFIXED = re.compile(r"</[^>:/\s]+:")
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# An HTML parser opens elements like these again in each block that follows when they were left open.
_FORMATTING = ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
_ANY_FORMATTING = [f"{{*}}{name}" for name in _FORMATTING]
MOST_FORMATTING = 12
# Characters of markup that can't grow to anything that matters.
SHORT = 8192
# Escapes and absolute links make markup longer, repairs of what is misnested much longer.
MOST_GROWTH = 6
# Parsers compare each attribute of an element with all before it.
MOST_ATTRIBUTES = 512
_ATTRIBUTE = re.compile(r"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+""")
_OVERLOADED = f"has an element with more than {MOST_ATTRIBUTES} attributes"
_START_TAG = re.compile(rf"<[a-zA-Z][^\s/>]*+(?:{_ATTRIBUTE.pattern})*+")
# Not the single space that most of them are.
_SPACES = re.compile(r"[ \t\r\n]{2,}|[\t\r\n]")


class Markup(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A text in one language. type: how it was written. text: always plain. xhtml: sanitised, well-formed."""

    lang: str = ""
    type: Literal["text", "html", "xhtml"]
    text: str
    xhtml: str = ""


def construct(item: Item, element: _Element, lang: str = "", base: str = "") -> Markup | None:
    """The text construct an element is; None when it is empty or holds something else than text.

    lang, base: what the element inherits.
    """
    lang = xml.language(element, lang)
    kind = element.get("type", "").partition(";")[0].strip().lower() or "text"
    is_html = kind in ("html", "text/html")
    # HTML is escaped (RFC 4287 3.1.1.2), but some write its elements.
    if kind in ("xhtml", "application/xhtml+xml") or (is_html and len(element)):
        return _markup(item, element, "xhtml", _content(element), lang, base)
    if is_html:
        source = xml.text(element)
        if _overloaded(source):
            return _only_text(item, element, "html", lang, _OVERLOADED)
        return _markup(item, element, "html", _from_html(source), lang, base)
    if kind != "text" and not kind.startswith("text/"):
        item.unreadable(f"<{xml.local(element)}>", kind, "type of text")
        return None
    text = xml.text(element)
    return Markup(lang=lang, type="text", text=text) if text else None


def _read(cleaned: str) -> tuple[str, str]:
    """Sanitised markup without the div around it (RFC 4287 3.1.1.3), well-formed; and as plain text."""
    # Text and names of tags in turn.
    parts = _TAG.split(_single_spaced(cleaned))
    if cleaned.startswith("<div>") and cleaned.endswith("</div>") and _balanced(parts[3:-2:2]):
        cleaned = cleaned[len("<div>") : -len("</div>")].strip()
        parts = parts[2:-2]
    tags = frozenset(parts[1::2])
    xhtml = _closed(cleaned) if "br" in tags or "hr" in tags else cleaned
    if "&" in xhtml:
        xhtml = xhtml.replace("&nbsp;", "&#160;")
    return xhtml, _preformatted(cleaned) if "pre" in tags else _flow(parts)


def _closed(cleaned: str) -> str:
    """With the elements that are always empty as XML writes them."""
    cleaned = cleaned.replace("<br>", "<br/>").replace("<hr>", "<hr/>")
    return _EMPTY_TAG.sub(r"<\1/>", cleaned) if "<br " in cleaned or "<hr " in cleaned else cleaned


def _balanced(tags: list[str]) -> bool:
    """Whether each div that ends among the tags also begins there: two neighbours look like one from outside."""
    depth = 0
    for tag in tags:
        if tag == "div":
            depth += 1
        elif tag == "/div":
            depth -= 1
            if depth < 0:
                return False
    return True


def _preformatted(cleaned: str) -> str:
    """As plain text, where some of it stays as it is."""
    # The pattern's group makes every second part the inside of a pre.
    texts = (
        html.unescape(_ANY_TAG.sub("", part.replace("<br>", "\n"))).strip("\n")
        if i % 2
        else _flow(_TAG.split(_single_spaced(part)))
        for i, part in enumerate(_PREFORMATTED.split(cleaned))
    )
    return "\n".join(text for text in texts if text)


def _flow(parts: list[str]) -> str:
    """Texts and names of tags in turn, as plain text: blocks are separated by a line break."""
    parts[1::2] = [_BREAKS.get(tag, "") for tag in parts[1::2]]
    lines = (line.strip(" ") for line in html.unescape("".join(parts)).split("\n"))
    return "\n".join(line for line in lines if line).strip()


def _single_spaced(text: str) -> str:
    return _SPACES.sub(" ", text) if "\n" in text or "  " in text or "\t" in text or "\r" in text else text


def _markup(
    item: Item, element: _Element, type: Literal["html", "xhtml"], content: _Element | None, lang: str, base: str
) -> Markup | None:
    if content is None:
        return None
    written = _written(content)
    if type == "xhtml" and _overloaded(written):
        return _only_text(item, element, type, lang, _OVERLOADED)
    # What came as XML is no deeper than a payload may be.
    nested = (type == "html" and bool(xml.too_deep(content))) or (len(written) > SHORT and _formatting_nests(content))
    cleaned = None if nested else _cleaner(uris.base(element, base)).clean(written)
    if cleaned is None or len(cleaned) > SHORT + MOST_GROWTH * len(written):
        return _only_text(item, element, type, lang, "is nested too deeply")
    if type == "html":
        # What is in XML can't be anything that XML does not allow, such as a form feed, which HTML counts as white
        # space; taken out, it would join what is around it.
        cleaned = _NOT_IN_XML.sub(" ", cleaned)
    xhtml, text = _read(cleaned.strip())
    return Markup(lang=lang, type=type, text=text, xhtml=xhtml) if text or xhtml else None


def _only_text(item: Item, element: _Element, type: Literal["html", "xhtml"], lang: str, reason: str) -> Markup | None:
    """What is left of markup that costs too much. reason: what it does, for a sentence."""
    item.error(f"<{xml.local(element)}>: the markup {reason}, only its text is kept.")
    text = xml.text(element) if type == "xhtml" else _stripped(xml.text(element))
    return Markup(lang=lang, type=type, text=text) if text else None


def _content(construct: _Element) -> _Element:
    """The element that holds the markup of an xhtml construct."""
    if len(construct) == 1 and not f"{construct.text or ''}{construct[0].tail or ''}".strip():
        return construct[0]
    # RFC 4287 3.1.1.3 wants a div; without one the element itself stands for it.
    content = copy.deepcopy(construct)
    content.tag = f"{{{XHTML}}}div"
    return content


def _from_html(source: str) -> _Element | None:
    """The body of HTML from anywhere, None when it has none.

    Read here and not by the sanitiser alone, whose parser follows the standard in taking time and space that
    grow with the square of unclosed elements.
    """
    return etree.fromstring(f"<div>{source}</div>", xml.parsers.html).find("body")


def _overloaded(source: str) -> bool:
    """Whether an element has too many attributes, in HTML as it is read in browsers."""
    # The tag itself looks like one more.
    return len(source) > SHORT and any(
        len(_ATTRIBUTE.findall(tag[0])) > MOST_ATTRIBUTES + 1
        for tag in _START_TAG.finditer(source)
        if tag.end() - tag.start() > 2 * MOST_ATTRIBUTES
    )


def _formatting_nests(content: _Element) -> bool:
    """Whether the sanitiser's parser could make much more of long markup than there is."""
    depth = 0
    # Asked for by XPath, each of them would look at all of its ancestors, with as many comparisons for each.
    for event, _ in etree.iterwalk(content, events=("start", "end"), tag=_ANY_FORMATTING):
        depth += 1 if event == "start" else -1
        if depth > MOST_FORMATTING:
            return True
    return False


def _stripped(source: str) -> str:
    # Behind it a tag would be looked for from each "<" to the end, in time that grows with the square.
    last = source.rfind(">") + 1
    text = _ANY_TAG.sub(" ", source[:last]) + source[last:]
    return html.unescape(_SPACES.sub(" ", text)).strip()


def _written(content: _Element) -> str:
    """An element as HTML, which the sanitiser reads."""
    written = _as_html(content)
    if _PREFIXED.search(written):
        content = copy.deepcopy(content)
        for descendant in content.iter():
            # In HTML a prefix is part of the name, which may be anything.
            if descendant.tag.startswith("{"):
                descendant.tag = xml.local(descendant)
        written = _as_html(content)
    return written


def _as_html(element: _Element) -> str:
    # The end tag of a br would be read as one more br.
    return etree.tostring(element, method="html", encoding="unicode", with_tail=False).replace("</br>", "")


@lru_cache(maxsize=64)
def _cleaner(base: str) -> nh3.Cleaner:
    try:
        return nh3.Cleaner(
            tags=set(_BLOCKS | _INLINE),
            clean_content_tags=_DROPPED_WITH_CONTENT,
            attributes=_ATTRIBUTES,
            url_schemes=_SCHEMES,
            link_rel=None,
            url_relative=("rewrite_with_base", base) if base.startswith(("http://", "https://")) else None,
        )
    except ValueError:
        return _cleaner("")

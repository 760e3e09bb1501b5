"""The text of an item: what full text search reads, made from the parsed data by one rule.

The rule knows keys, not analysers, so that it fits what any parser gives; it is the same for every database. Markup is
never text, and neither are addresses, dates and names of programs. A letter and its mark are one character (NFC), as
in what is looked for (``words``), whoever wrote it: an index takes two for something else. What is stored was made by
the rule of its time: a change here needs a revision in ``migrations/versions`` that reads the texts anew.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec

# Keys whose strings name the whole item, and stand on the first line. Only of the object itself.
NAMES = frozenset({"title", "name", "nick", "fn", "subject", "headline"})
# Keys whose strings, alone or in a list, are text.
WORDS = NAMES | frozenset(
    {
        *("subtitle", "summary", "content", "body", "abstract", "description", "descriptions", "desc", "note", "text"),
        *("value", "caption", "comment", "message", "question", "answer", "instructions", "label"),
        *("tag", "tags", "term", "categories", "category", "keyword", "keywords", "topic", "topics", "nickname"),
        *("country", "region", "locality", "area", "street", "building", "artist", "source"),
    }
)
# Keys below which nothing is text: sums, forms of words for machines, and what the item only points to.
SILENT = frozenset(
    {
        *("xhtml", "generator", "hashes", "signatures", "extensions", "thumbnails", "sources", "options"),
        *("target_parts", "external", "repeat_of", "in_reply_to", "invitees", "blog", "schedule", "start"),
    }
)


def text_of(data: str | None) -> str:
    """The text of parsed data, a JSON object: the names on the first line, then a line for each other string.

    "" where there is none. Data that can't be read has none.
    """
    if not data:
        return ""
    try:
        document = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return ""
    if not isinstance(document, dict):
        return ""
    names: list[str] = []
    others: list[str] = []
    for key, value in document.items():
        _gather(key, value, names if key in NAMES else others)
    text = "\n".join((" ".join(" ".join(names).split()), *others))
    return unicodedata.normalize("NFC", text.replace("\0", " "))


def _gather(key: str, value: Any, found: list[str]) -> None:
    """Add the strings below a key that are text, in their order."""
    if isinstance(value, str):
        if key in WORDS and value and not _is_markup(value):
            found.append(value)
    elif isinstance(value, list):
        for element in value:
            _gather(key, element, found)
    elif isinstance(value, dict) and key not in SILENT:
        for inner, content in value.items():
            _gather(inner, content, found)


def _is_markup(value: str) -> bool:
    """An element, as a field of the type ``xml`` holds one."""
    return value[0] == "<" and value.rstrip()[-1:] == ">"

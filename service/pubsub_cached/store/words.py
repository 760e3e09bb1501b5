"""What a user types to find text: words, "words in this order", -not, begin*; anything else is what it is.

Nothing is a syntax error. A word is a run of letters and digits; capitals make no difference, nor do accents of Latin
letters (of which alone the index of SQLite takes them off). The order ``rank`` is made here too, from a text alone: so
an item keeps its rank while others come and go, and cursors hold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import msgspec

from ..errors import InvalidQuery

CHARACTERS_AT_MOST = 10_000
SYMBOLS_AT_MOST = 64
# Of a text so much is shown around the first word that was found, in characters.
SNIPPET = 160
_BEFORE = 50
# Where a piece ends is looked for as far from there, so that it is cut between words.
_NEAR = 25
# A text is ranked by its beginning.
_RANKED = 20_000
# A word on the first line, which names the item, counts as so many.
_NAMED = 3

# A minus, then something in quotes (a quote that is never closed closes at the end) or a run without any.
_PART = re.compile(r'(-?)(?:"([^"]*)(?:"(\*?)|$)|([^\s"]+))')
_WORD = re.compile(r"[^\W_]+")


class Term(msgspec.Struct, frozen=True):
    """What has to stand together: as it was typed, and as folded words. prefix: the last word may go on."""

    text: str
    words: tuple[str, ...]
    prefix: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is one whole word, and one for every index of texts."""
        # Of later characters an index may know less than Python does, and take them for what parts words.
        return not self.prefix and self.text.isalnum() and max(self.text) < "\u0370"


class Words(msgspec.Struct, frozen=True):
    """What a text has to hold, and must not.

    symbols: characters that are part of no word, such as emoji, to be there as they are,
    each without a variation selector at its end.
    """

    wanted: tuple[Term, ...] = ()
    unwanted: tuple[Term, ...] = ()
    symbols: tuple[str, ...] = ()
    unwanted_symbols: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.wanted or self.unwanted or self.symbols or self.unwanted_symbols)


def parse(text: str) -> Words:
    """What is looked for. Punctuation that stands alone says nothing.

    Raises InvalidQuery for a text of more than ``CHARACTERS_AT_MOST``, and of more than ``SYMBOLS_AT_MOST``.
    """
    if len(text) > CHARACTERS_AT_MOST:
        raise InvalidQuery(f"The text has {len(text)} characters, and {CHARACTERS_AT_MOST} is the most.")
    wanted: dict[tuple[str, bool], Term] = {}
    unwanted: dict[tuple[str, bool], Term] = {}
    symbols: dict[bool, dict[str, None]] = {False: {}, True: {}}
    for minus, quoted, star, bare in _PART.findall(unicodedata.normalize("NFC", text.replace("\0", " "))):
        said = quoted or bare.rstrip("*")
        words = tuple(_WORD.findall(fold(said)))
        prefix = bool(star) or bare.endswith("*")
        if words:
            # By what was typed: an index of texts tells apart accents that are taken off here.
            (unwanted if minus else wanted)[said.lower(), prefix] = Term(said, words, prefix)
        elif any(unicodedata.category(character) == "So" for character in said):
            # How it is to be drawn may be said behind it, or not, whatever was typed.
            symbols[bool(minus)][said.strip().rstrip("\ufe0e\ufe0f")] = None
    if (count := len(symbols[False]) + len(symbols[True])) > SYMBOLS_AT_MOST:
        raise InvalidQuery(f"The text has {count} symbols, and {SYMBOLS_AT_MOST} is the most.")
    return Words(tuple(wanted.values()), tuple(unwanted.values()), tuple(symbols[False]), tuple(symbols[True]))


class Ranking:
    """How well a text fits: how often it has the words for its length, on its first line above all."""

    def __init__(self, words: Words) -> None:
        self._terms = [_pattern((term.words, _typed(term)), term.prefix) for term in words.wanted]

    def __call__(self, text: str) -> float:
        """A number from 0 on, the higher the better; it depends on nothing but the words and the text."""
        name, end_of_line, rest = text[:_RANKED].partition("\n")
        # Accents are taken off of what is short, for it takes long.
        text = fold(name) + end_of_line + rest.lower()
        length = 1 + len(text) / 2000
        score = 0.0
        for term in self._terms:
            places = [found.start() for found in term.finditer(text)]
            # Found by a word with other accents: behind the name once, at least.
            weight = sum(_NAMED if place < len(name) else 1 for place in places) or 1
            score += weight / (weight + length)
        return round(score, 9)


class Snippets:
    """Pieces of texts around the first word that was found, as plain text."""

    def __init__(self, words: Words) -> None:
        patterns = (_pattern((term.words,), term.prefix).pattern for term in words.wanted)
        self._pattern = re.compile("|".join(patterns))

    def __call__(self, text: str) -> str:
        """About ``SNIPPET`` characters in one line, … where it was cut; rather not from the first line."""
        folded = fold(text)
        line = text.find("\n") + 1
        found = self._pattern.search(folded, line) or self._pattern.search(folded)
        place = found.start() if found else 0
        start = 0 if place <= _BEFORE else _border(text, place - _BEFORE, 1)
        begin = line if line <= place else 0
        start = max(start, begin)
        end = len(text) if start + SNIPPET >= len(text) else _border(text, start + SNIPPET, -1)
        piece = " ".join(text[start:end].split())
        return f"{'… ' if start > begin else ''}{piece}{' …' if end < len(text) else ''}"


def _border(text: str, place: int, step: int) -> int:
    """Where a word ends near ``place``; where none does, as in Thai, a place that parts no mark from its letter."""
    near = range(place, place + _NEAR * step, step)
    unparted = (at for at in near if unicodedata.category(text[at])[0] != "M")
    return next((at for at in near if text[at].isspace()), next(unparted, place))


def _typed(term: Term) -> tuple[str, ...]:
    return tuple(_WORD.findall(term.text.lower()))


def _pattern(ways: Iterable[tuple[str, ...]], prefix: bool) -> re.Pattern[str]:
    """Whole words one after the other, written in one of these ways."""
    written = dict.fromkeys(_written(words) for words in ways if words)
    end = "" if prefix else r"(?![^\W_])"
    return re.compile(f"(?:{'|'.join(written)}){end}")


def _written(words: tuple[str, ...]) -> str:
    first, *more = map(re.escape, words)
    # Whether a word begins there is looked at behind it: a pattern that begins with letters is found much sooner.
    return r"[\W_]+".join((rf"{first}(?<![^\W_]{first})", *more))


class _Folding(dict[int, str]):
    """One character for one, so that a place in a folded text is the same place in the text."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        base = unicodedata.normalize("NFD", character)[0]
        letter = base if base.isascii() else character
        small = letter.casefold()
        plain = self[code] = small if len(small) == 1 else letter.lower()
        return plain


_folding = _Folding()


def fold(text: str) -> str:
    """The text without capitals, and Latin letters without accents, as an index has them; as long as before."""
    return text.lower() if text.isascii() else text.translate(_folding)

"""The language of manual pages (man(7)), as far as they need it."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Iterator


def escape(text: str) -> str:
    """Text as it is to be read: a hyphen is one that can be copied, and no line is taken for a command."""
    escaped = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha").replace("~", "\\(ti")
    )
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in escaped.split("\n"))


def paragraphs(text: str) -> Iterator[tuple[list[str], bool]]:
    """The paragraphs of a help text, and whether each is to be kept as it is: click's ``\\b`` stands before it."""
    for paragraph in inspect.cleandoc(text).strip().split("\n\n"):
        lines = paragraph.split("\n")
        kept = lines[0].strip() == "\b"
        yield lines[kept:], kept


class Page:
    """A page that grows."""

    def __init__(self, name: str, section: int, version: str, purpose: str, kind: str) -> None:
        self._lines = [
            '.\\" Written by scripts/manpages; change what --help says instead.',
            f'.TH {escape(name.upper())} {section} "" "{escape(version)}" "{kind}"',
            # Names and commands are not hyphenated.
            ".nh",
            ".ad l",
        ]
        self.section("NAME")
        self._lines.append(f"{escape(name)} \\- {escape(purpose)}")

    def section(self, title: str) -> None:
        """Begin a section."""
        self._lines.append(f".SH {escape(title.upper())}")

    def subsection(self, title: str) -> None:
        """Begin a subsection."""
        self._lines.append(f'.SS "{escape(title)}"')

    def synopsis(self, command: str) -> None:
        """A line of the synopsis: the program in bold, then what it takes."""
        program, _, rest = command.partition(" ")
        self._lines += [f".B {escape(program)}", escape(rest), ".br"]

    def text(self, text: str) -> None:
        """Paragraphs, as help has them: separated by a blank line; one that begins with ``\\b`` is kept as it is."""
        for lines, kept in paragraphs(text):
            if kept:
                self.example(lines)
            else:
                self._lines += [".PP", *map(escape, _wrapped(" ".join(lines)))]

    def terms(self, entries: Iterable[tuple[str, str]]) -> None:
        """Terms in bold, each with its explanation."""
        for term, explanation in entries:
            self._lines += [".TP", f".B {escape(term)}", *map(escape, _wrapped(explanation))]

    def example(self, lines: Iterable[str]) -> None:
        """Lines to be kept as they are."""
        self._lines += [".PP", ".RS 4", ".nf", *map(escape, lines), ".fi", ".RE"]

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False)

"""Markdown, as far as the manual and the reference need it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .roff import paragraphs

_SPECIAL = re.compile(r"[\\`*_{}\[\]|#]")


def escape(text: str) -> str:
    """Text as it is to be read: nothing in it is taken for markup."""
    return _SPECIAL.sub(r"\\\g<0>", text).replace("<", "&lt;")


def code(text: str) -> str:
    """Text in a code span."""
    return f"`{text}`"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table, its cells Markdown already; nothing where there is no row."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    titles = [*heads]
    return ["", f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}", *lines, ""] if lines else []


class Page:
    """A page of the manual that grows; the same parts as in ``roff``."""

    def __init__(self, name: str, section: int, version: str, purpose: str, kind: str) -> None:
        self._lines = [f"# {name}({section})", "", f"{escape(name)} – {escape(purpose)}", "", f"*{version}, {kind}*"]

    def section(self, title: str) -> None:
        """Begin a section."""
        self._lines += ["", f"## {escape(f'{title[0].upper()}{title[1:]}')}", ""]

    def subsection(self, title: str) -> None:
        """Begin a subsection."""
        name, _, rest = title.partition(" ")
        self._lines += ["", f"### {escape(f'{name} {rest}'.strip())}", ""]

    def synopsis(self, command: str) -> None:
        """A line of the synopsis."""
        self.example([command])

    def text(self, text: str) -> None:
        """Paragraphs, as help has them: separated by a blank line; one that begins with ``\\b`` is kept as it is."""
        for lines, kept in paragraphs(text):
            if kept:
                self.example(lines)
            else:
                self._lines += ["", escape(" ".join(" ".join(lines).split())), ""]

    def terms(self, entries: Iterable[tuple[str, str]]) -> None:
        """Terms, each with its explanation."""
        self._lines.append("")
        for term, explanation in entries:
            self._lines += [code(term), f":   {escape(' '.join(explanation.split()))}", ""]

    def example(self, lines: Iterable[str]) -> None:
        """Lines to be kept as they are."""
        self._lines += ["", "```", *(line.removeprefix("  ") for line in lines), "```", ""]

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

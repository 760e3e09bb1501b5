"""``python -m manual``: write the manual pages into docs/man."""

from __future__ import annotations

from pathlib import Path

from .pages import pages

DIRECTORY = Path(__file__).resolve().parents[1] / "docs" / "man"

if __name__ == "__main__":
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
        print(DIRECTORY / name)

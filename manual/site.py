"""The hook of the documentation's site: the pages that are made from the code and from ``interfaces/``."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

# The hook is loaded as a file, not as a part of its package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from manual import markdown, pages, reference


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the manual and the reference."""
    made = {f"man/{name}.md": text for name, text in pages.pages(markdown.Page).items()}
    made |= {f"dbus/{name}": text for name, text in reference.pages().items()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files

"""Bob writes a post: ``python -m demo.publish DIRECTORY SERVICE NODE TITLE TEXT``.

DIRECTORY is that of a running demonstration; SERVICE "" is Bob's own.
"""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

from tests.support.known import Running
from tests.support.publisher import Publisher

from .sample import ATOM

FILE = "server.json"


def entry(id_: str, title: str, text: str) -> str:
    """A post as Atom (XEP-0277)."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"<entry xmlns='{ATOM}'><id>tag:bob@localhost,2026:{id_}</id><title type='text'>{escape(title)}</title>"
        f"<content type='xhtml'><div xmlns='http://www.w3.org/1999/xhtml'><p>{escape(text)}</p></div></content>"
        f"<published>{now}</published><updated>{now}</updated>"
        "<author><name>Bob</name><uri>xmpp:bob@localhost</uri></author></entry>"
    )


async def publish(directory: Path, service: str, node: str, title: str, text: str) -> str:
    """Publish a post as Bob; the id it got."""
    id_ = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "untitled"
    bob = await Publisher.open(Running.of(directory / FILE), "bob")
    try:
        return await bob.publish(service, node, id_, entry(id_, title, text))
    finally:
        await bob.close()


def main() -> int:
    if len(sys.argv) != 6:
        print(__doc__, file=sys.stderr)
        return 2
    directory, service, node, title, text = sys.argv[1:]
    print("published", asyncio.run(publish(Path(directory), service, node, title, text)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

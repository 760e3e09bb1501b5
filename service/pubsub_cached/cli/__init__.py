"""``pubsub-cachectl``: what an administrator of their own desktop needs."""

from __future__ import annotations

import click

from pubsub_cached import __version__

from .setup import setup


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pubsub-cachectl")
def main() -> None:
    """Look after pubsub-cached, the cache of XMPP PubSub on the session bus."""


main.add_command(setup)

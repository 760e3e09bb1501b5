"""``pubsub-cached``: parse the arguments, read the configuration, run the daemon, say how it ended.

Only what is cheap is imported here: the bus name is owned before the rest of the house is loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
from pathlib import Path

import msgspec

from . import __version__, config
from .errors import BadConfiguration, Fatal, PubSubCachedError
from .logs import configure


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="pubsub-cached",
        description="Keeps a local cache of XMPP PubSub on the session bus, as im.pubsubcache1.",
        epilog="exit status: 0 stopped, 1 database unusable for now, 2 bad configuration or newer database, "
        "3 name taken, 4 no session bus",
    )
    found.add_argument("--config", type=Path, metavar="FILE", help="configuration file (TOML)")
    found.add_argument("--database", metavar="URL", help="database, as SQLAlchemy writes it")
    found.add_argument("--log-level", metavar="LEVEL", choices=config.LOG_LEVELS, help="/".join(config.LOG_LEVELS))
    found.add_argument("--version", action="version", version=f"pubsub-cached {__version__}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the daemon until it is told to stop; the exit status."""
    # Nothing that is made while starting is garbage; the daemon turns it on again.
    gc.disable()
    chosen = parser().parse_args(arguments)
    configure("info")
    log = logging.getLogger("pubsub_cached")
    try:
        settings = _settings(chosen)
        configure(settings.log_level)
        asyncio.run(_run(settings))
    except Fatal as error:
        log.critical("%s", error)
        return error.status
    except PubSubCachedError as error:
        # A database that can't be opened for now, such as a full disk.
        log.critical("%s", error)
        return Fatal.status
    return 0


def _settings(chosen: argparse.Namespace) -> config.Config:
    settings = config.load(chosen.config)
    if chosen.database is not None:
        if not config.is_database_url(chosen.database):
            raise BadConfiguration(
                "--database is no URL of SQLite or PostgreSQL, such as sqlite:////home/me/cache.sqlite3."
            )
        settings = msgspec.structs.replace(settings, database=config.Database(url=chosen.database))
    if chosen.log_level is not None:
        settings = msgspec.structs.replace(settings, log_level=chosen.log_level)
    return settings


async def _run(settings: config.Config) -> None:
    from .daemon import Daemon

    daemon = Daemon(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    await daemon.run()


if __name__ == "__main__":
    sys.exit(main())

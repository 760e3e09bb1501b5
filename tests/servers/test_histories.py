"""Whatever happens, a read never lies, and the cache converges: seeded histories at real servers.

A history is named by its server and seed, so that ``-k 'prosody-7'`` lives through it again;
``PUBSUB_CACHED_SEEDS=7,123`` replaces the seeds of the run. Those with an odd seed are of a node of a contact's account
(PEP), the others of one of the pubsub component.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from pubsub_cached.cache.sync import listings
from pubsub_cached.xmpp import connection
from pubsub_cached.xmpp import session as session_module
from tests.support.ejabberd import Ejabberd
from tests.support.following import Following
from tests.support.prosody import Prosody
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher, befriend

from .history import History

STEPS = 40
ORDINARY, LONG = 10, 100


def seeds() -> list[object]:
    """All seeds, those beyond the ordinary ones marked as long."""
    if chosen := os.environ.get("PUBSUB_CACHED_SEEDS"):
        return [int(seed) for seed in chosen.split(",")]
    return [*range(ORDINARY), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(ORDINARY, LONG))]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is noticed and replaced at once, and nobody waits for what Prosody never answers."""
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(connection, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(connection, "SILENCE", 0.4)
    monkeypatch.setattr(session_module, "PING_TIMEOUT", 1.0)
    monkeypatch.setattr(listings, "LISTING_TIMEOUT", 0.5)


@pytest.mark.parametrize("seed", seeds())
async def test_a_history_ends_in_the_service_s_state(server: Prosody | Ejabberd, seed: int, tmp_path: Path) -> None:
    pep = seed % 2 == 1
    name = uuid4().hex[:8]
    user, writer = f"bob{name}", f"alice{name}" if pep else "alice"
    for each in (user, writer) if pep else (user,):
        server.add_user(each)
    alice = await Publisher.open(server, writer)
    try:
        if pep:
            bob = await Publisher.open(server, user)
            await befriend(alice, bob)
            await bob.close()
        async with Proxy(server.host, server.port) as proxy:
            cache = Following(server, user, proxy, tmp_path)
            await cache.start()
            try:
                await History(seed, server, alice, cache, pep=pep).run(STEPS)
            finally:
                proxy.heal()
                await cache.stop()
    finally:
        await alice.close()

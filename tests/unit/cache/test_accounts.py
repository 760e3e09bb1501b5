"""Which account is meant, and what is said where none is."""

from __future__ import annotations

import msgspec
import pytest

from pubsub_cached import errors
from pubsub_cached.cache.options import AccountOptions
from pubsub_cached.xmpp.fake import World
from tests.support.cached import ALICE, Cached, Make

from .blog import PUBSUB

BOB = "bob@example.org"
CAROL = "carol@example.org"


async def test_without_an_enabled_account_it_is_said_how_to_have_one(cached: Make) -> None:
    cache: Cached = await cached(World())
    await cache.stop()
    cache.settings = msgspec.structs.replace(cache.settings, account=())
    await cache.start()
    accounts = cache.house.accounts

    with pytest.raises(errors.NoSuchAccount, match="; add one with 'pubsub-cachectl account add JID'"):
        accounts.resolve("", PUBSUB, "blog")
    await accounts.add(BOB, AccountOptions(enabled=False))
    with pytest.raises(errors.NoSuchAccount, match="; enable one with 'pubsub-cachectl account enable JID'"):
        accounts.resolve("", PUBSUB, "blog")


async def test_an_unknown_account_is_told_with_those_that_there_are(cached: Make) -> None:
    cache: Cached = await cached(World())
    accounts = cache.house.accounts

    with pytest.raises(errors.NoSuchAccount, match=f"'{BOB}'; there is {ALICE}. Add"):
        accounts.get(BOB)
    await accounts.add(CAROL, AccountOptions(enabled=False))
    with pytest.raises(errors.NoSuchAccount, match=f"'{BOB}'; there are {ALICE} and {CAROL}. Add"):
        accounts.get(BOB)

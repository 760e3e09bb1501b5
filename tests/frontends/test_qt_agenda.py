"""``examples/qt-agenda`` on a screen: PySide6 and QML, by views that speak JSON and the interface ``Json``."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from demo.sample import EVENTS
from tests.support.publisher import Publisher
from tests.support.screen import Screen, texts

from .conftest import ROOT, Desktop

AGENDA = (sys.executable, ROOT / "examples" / "qt-agenda" / "agenda.py")
OCTOBER = "2026-10"
EVENT = """<event xmlns='urn:xmpp:calendar-events:0'><name xml:lang='en'>{name}</name>
  <start>{start}</start><end>{end}</end><description type='text' xml:lang='en'>{about}</description>
  <location><geoloc xmlns='http://jabber.org/protocol/geoloc'><locality>{place}</locality></geoloc></location></event>"""

pytestmark = pytest.mark.prosody


@pytest.fixture
def screen_size() -> tuple[int, int]:
    return 720, 560


@pytest.fixture
async def agenda(screen: Screen) -> Screen:
    """The agenda is open at the month of the mushroom walk."""
    screen.launch(*AGENDA, OCTOBER)
    await screen.names("October 2026", "Up to date", "Mushroom walk")
    return screen


@pytest.fixture
async def bob(desktop: Desktop) -> AsyncIterator[Publisher]:
    """Who writes the events."""
    publisher = await Publisher.open(desktop.server, "bob")
    yield publisher
    await publisher.close()


async def test_a_month_has_its_events_day_by_day(agenda: Screen) -> None:
    shown = texts(await agenda.shown())
    place = shown.index("Sunday, 18 October")
    assert shown[place + 1 : place + 4] == [
        "08:00 – 12:30",
        "Mushroom walk with the mycological society",
        "Rambouillet",
    ]
    await agenda.click("Later")
    await agenda.names("November 2026", "Saturday, 7 November", "Town library, ground floor, Versailles")
    await agenda.gone("Mushroom walk")


async def test_events_come_change_and_go_as_they_do_on_the_service(
    agenda: Screen, desktop: Desktop, bob: Publisher, pictures: Path
) -> None:
    async def publish(id_: str, name: str, start: str, end: str, place: str, about: str) -> None:
        event = EVENT.format(name=name, start=start, end=end, place=place, about=about)
        await bob.publish(desktop.server.pubsub, EVENTS, id_, event)

    apples = ("2026-10-10T12:00:00Z", "2026-10-10T17:00:00Z", "Dampierre", "Bring the apples that nobody knows.")
    choir = ("2026-10-23T18:30:00Z", "2026-10-23T20:30:00Z", "Versailles", "The Fauré, from bar 40 to the end.")
    await publish("choir", "Choir, the last rehearsal", *choir)
    await publish("apples", "Apple day", *apples)
    shown = texts(await agenda.until(lambda shown: {"Choir, the last rehearsal", "Apple day"} <= set(texts(shown))))
    assert shown.index("Apple day") < shown.index("Sunday, 18 October") < shown.index("Choir, the last rehearsal")
    await publish("apples", "Apple day, with the press", *apples)
    await agenda.names("Apple day, with the press")
    await agenda.picture(pictures / "qt-agenda.png")
    for id_, name in (("choir", "Choir"), ("apples", "Apple day")):
        await bob.retract(desktop.server.pubsub, EVENTS, id_)
        await agenda.gone(name)


@pytest.mark.long
async def test_without_the_server_the_agenda_says_so_and_turns_its_pages(agenda: Screen, desktop: Desktop) -> None:
    desktop.server.stop()
    await agenda.names("Offline, as of")
    await agenda.click("Later")
    await agenda.names("Repair café: radios and other old friends")
    await desktop.daemon.end()
    await agenda.names("The cache is not running")
    await desktop.daemon.start()
    await agenda.names("Offline, as of", "Repair café: radios and other old friends")


async def test_a_page_that_is_turned_while_the_cache_is_away_shows_nothing_of_another_month(
    agenda: Screen, desktop: Desktop
) -> None:
    await desktop.daemon.end()
    await agenda.names("The cache is not running", "Mushroom walk")
    await agenda.click("Later")
    await agenda.names("November 2026")
    await agenda.gone("Mushroom walk")
    assert "Nothing this month" not in texts(await agenda.shown())
    await desktop.daemon.start()
    await agenda.names("Saturday, 7 November", "Repair café")
    await agenda.click("Later")
    await agenda.names("December 2026", "Nothing this month")

"""A screen without a monitor, and the programs on it as assistive technology sees them.

Programs are read by AT-SPI, the accessibility interface of GTK and Qt, and used by pointer and keyboard: nothing in
them is there for the tests, and what a test can't find nobody can who uses a screen reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from pubsub_cached.bus import Connection, Match, RemoteError, Signal

from .bus import PrivateBus

DBUS = "org.freedesktop.DBus"
REGISTRY = "org.a11y.atspi.Registry"
REGISTRYD = "/usr/libexec/at-spi2-registryd"
ATSPI = "org.a11y.atspi"
OBJECTS = "/org/a11y/atspi"
SECONDS = 30
UNTOLD_SECONDS = 0.1
WINDOW = 1  # Coordinates relative to the window; without a window manager it is at the screen's corner.
RETURN = 0xFF0D
NOTCHES = 20
CLICK, WHEEL_DOWN = "b1c", "b5c"
KEY_SYM = 3  # What the number is: the name of a key and how often it is struck.
GRAB = """
import sys
from PySide6.QtGui import QGuiApplication
QGuiApplication([])
sys.exit(not QGuiApplication.primaryScreen().grabWindow(0).save(sys.argv[1]))
"""


class Shown(NamedTuple):
    """Something on the screen: its role and name, and where it is on the accessibility bus."""

    role: str
    name: str
    owner: str
    path: str


class Screen:
    """An Xvfb as large as one window, with a bus for accessibility.

    session: the environment of programs, with their session bus. home: their home and runtime directory.
    """

    def __init__(self, session: Mapping[str, str], home: Path, size: tuple[int, int] = (1000, 640)) -> None:
        self._bus = PrivateBus()
        self._size = size
        self._processes: list[subprocess.Popen[bytes]] = []
        self._client: Connection | None = None
        self._woken = asyncio.Event()
        self.environment = {
            **session,
            "AT_SPI_BUS_ADDRESS": self._bus.address,
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "GDK_BACKEND": "x11",
            "GSK_RENDERER": "cairo",
            "GSETTINGS_BACKEND": "memory",
            "QT_QPA_PLATFORM": "xcb",
            "QT_QUICK_BACKEND": "software",
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }

    async def open(self) -> Self:
        """Start everything."""
        reader, writer = os.pipe()
        size = "{}x{}x24".format(*self._size)
        server = ["Xvfb", "-displayfd", str(writer), "-screen", "0", size, "-nolisten", "tcp", "-noreset"]
        with os.fdopen(reader) as answer:
            try:
                self._start(*server, pass_fds=[writer], stderr=subprocess.DEVNULL)
            finally:
                os.close(writer)
            number = await asyncio.to_thread(answer.readline)
        if not number:
            raise RuntimeError("Xvfb ended at once.")
        self.environment["DISPLAY"] = f":{number.strip()}"
        self._client = await Connection.open(self._bus.address)
        await self._client.subscribe(self._changed, Match())
        self.launch(REGISTRYD, stdout=subprocess.DEVNULL)
        while not (await self._call(DBUS, "/", DBUS, "NameHasOwner", "s", REGISTRY))[0]:
            await self._event()
        # Programs may keep to themselves what nobody wants to hear.
        for event in ("object:", "window:"):
            await self._call(REGISTRY, f"{OBJECTS}/registry", REGISTRY, "RegisterEvent", "sass", event, [], "")
        return self

    async def close(self) -> None:
        """Stop everything, the last first."""
        for process in reversed(self._processes):
            process.terminate()
            await asyncio.to_thread(process.wait, 10)
        if self._client is not None:
            await self._client.close()
        self._bus.stop()

    def launch(self, *command: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program on the screen."""
        return self._start(*map(str, command), env=self.environment, **options)

    async def shown(self) -> list[Shown]:
        """Everything there is, each before what is in it."""
        return [one async for one in self._inside(REGISTRY, f"{OBJECTS}/accessible/root")]

    async def until(self, wanted: Callable[[list[Shown]], bool]) -> list[Shown]:
        """Everything, as soon as it is as wanted."""
        shown: list[Shown] = []
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    self._woken.clear()
                    shown = await self.shown()
                    if wanted(shown):
                        return shown
                    # Most changes are told, but GTK 4.8 says nothing of a label's new text.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._woken.wait(), UNTOLD_SECONDS)
        except TimeoutError:
            raise AssertionError("The screen did not become as wanted: " + "; ".join(texts(shown))) from None

    async def names(self, *parts: str) -> list[Shown]:
        """For each part the first thing whose name holds it, as soon as all are there."""
        found = await self.until(lambda shown: all(_named(shown, part) for part in parts))
        return [one for part in parts if (one := _named(found, part))]

    async def gone(self, part: str) -> None:
        """Return once nothing has a name that holds the part."""
        await self.until(lambda shown: not _named(shown, part))

    async def click(self, part: str) -> None:
        """Click into the middle of what has such a name."""
        (one,) = await self.names(part)
        await self._device("GenerateMouseEvent", "iis", *await self._middle(one), CLICK)

    async def wheel(self, over: str, until: str) -> None:
        """Turn the mouse's wheel over what has the one name until the other is there."""
        (one,) = await self.names(over)
        where = await self._middle(one)
        async with asyncio.timeout(SECONDS):
            while not _named(await self.shown(), until):
                for _ in range(NOTCHES):
                    await self._device("GenerateMouseEvent", "iis", *where, WHEEL_DOWN)

    async def write(self, part: str, text: str) -> None:
        """Replace the text of the field with such a name."""
        (one,) = await self.names(part)
        await self._call(*one[2:], f"{ATSPI}.EditableText", "SetTextContents", "s", text)

    async def enter(self, part: str, text: str) -> None:
        """Replace the text of the field with such a name, and press Return in it."""
        await self.write(part, text)
        await self.click(part)
        await self._device("GenerateKeyboardEvent", "isu", RETURN, "", KEY_SYM)

    async def picture(self, file: Path) -> None:
        """Write what is on the screen to a PNG."""
        command = [sys.executable, "-c", GRAB, str(file)]
        await asyncio.to_thread(subprocess.run, command, env=self.environment, check=True, timeout=SECONDS)

    async def _middle(self, one: Shown) -> tuple[int, int]:
        ((x, y, width, height),) = await self._call(*one[2:], f"{ATSPI}.Component", "GetExtents", "u", WINDOW)
        return x + width // 2, y + height // 2

    async def _device(self, member: str, signature: str, *body: Any) -> None:
        path = f"{OBJECTS}/registry/deviceeventcontroller"
        await self._call(REGISTRY, path, f"{ATSPI}.DeviceEventController", member, signature, *body)

    async def _inside(self, owner: str, path: str) -> AsyncIterator[Shown]:
        for child, at in await self._ask(owner, path, "GetChildren", []):
            name = await self._call(child, at, f"{DBUS}.Properties", "Get", "ss", f"{ATSPI}.Accessible", "Name")
            yield Shown(await self._ask(child, at, "GetRoleName", ""), name[0].value if name else "", child, at)
            async for one in self._inside(child, at):
                yield one

    async def _ask(self, owner: str, path: str, member: str, default: Any) -> Any:
        answer = await self._call(owner, path, f"{ATSPI}.Accessible", member)
        return answer[0] if answer else default

    async def _call(
        self, owner: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        assert self._client is not None
        try:
            return await self._client.call(owner, path, interface, member, signature, body)
        except RemoteError:
            if interface != f"{ATSPI}.Accessible" and interface != f"{DBUS}.Properties":
                raise
            return []  # What was there a moment ago is not any more.

    def _start(self, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
        self._processes.append(process)
        return process

    async def _event(self) -> None:
        await self._woken.wait()
        self._woken.clear()

    def _changed(self, signal: Signal) -> None:
        self._woken.set()


def texts(shown: list[Shown]) -> list[str]:
    """The names in order, without those that are only there to hold others."""
    return [one.name for one in shown if one.name and one.role not in ("application", "filler", "panel", "widget")]


def _named(shown: list[Shown], part: str) -> Shown | None:
    return next((one for one in shown if part in one.name), None)


@pytest.fixture
async def make_screen() -> AsyncIterator[Callable[..., Any]]:
    """Makes screens with the arguments of ``Screen``, closed after the test."""
    screens: list[Screen] = []

    async def make(*arguments: Any, **options: Any) -> Screen:
        screens.append(Screen(*arguments, **options))
        return await screens[-1].open()

    yield make
    for screen in screens:
        await screen.close()

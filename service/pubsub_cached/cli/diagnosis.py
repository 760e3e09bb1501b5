"""What ``doctor`` looks at: each examination gives findings, and none of them changes anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal, NamedTuple

import click

from .. import __version__, config, paths
from ..bus import PROPERTIES
from ..clock import clock
from ..errors import BadConfiguration, BusLost, PubSubCachedError
from ..object_path import ROOT, encode
from . import times
from .account import accounts, is_another_daemon_s, remedy
from .client import NAME, Client, opened
from .failure import LOG, RESTART, SYSTEMD, UNIT, Failure, Status
from .setup import program_directory, render
from .status import holds, size
from .subscriptions import listed

# Room that a cache needs to go on, bytes.
FREE_AT_LEAST = 64 * 1024 * 1024
# A clock may be set by so much without anybody noticing, ms.
SET_AT_MOST = 5 * 60_000
# Some services never say what is subscribed to.
LISTING_SECONDS = 15.0
NAMED_AT_MOST = 5


class Finding(NamedTuple):
    """What was found of a subject, as a sentence, and what to do about it."""

    level: Literal["ok", "note", "problem"]
    subject: str
    sentence: str
    remedy: str = ""


Findings = AsyncIterator[Finding]


async def examine() -> Findings:
    """All findings, in the order in which one thing rests on the other."""
    told: set[str] = set()
    try:
        async with opened() as client:
            yield Finding("ok", "bus", "the session bus answers.")
            configured = _configuration()
            yield configured
            if configured.level == "problem" and not await client.running():
                # It could not be started either, which some buses notice late.
                return
            async for finding in _activation(client):
                yield finding
            async for finding in _unit(client):
                yield finding
            reached = True
            async for finding in _daemon(client):
                reached = reached and finding.level != "problem"
                yield finding
            if not reached:
                return
            for examination in (_database, _accounts, _analysers, _subscriptions):
                async for finding in examination(client):
                    told.add(finding.sentence)
                    yield finding
    except BusLost as error:
        yield Finding("problem", "bus", str(error), "Log in to a desktop, or run it all under 'dbus-run-session'.")
    except Failure as failure:
        # A database that can't be used was told already, and keeps the rest from being looked at.
        if failure.message not in told:
            yield Finding("problem", "daemon", failure.message, f"See '{LOG}'.")


def _configuration() -> Finding:
    """The user's file, which is the daemon's unless that was told another."""
    file = paths.config_file()
    try:
        config.load()
    except BadConfiguration as error:
        return Finding("problem", "configuration", str(error), f"Mend it there, then: {RESTART}")
    return Finding("ok", "configuration", f"{file} can be used." if file.exists() else f"there is no {file}.")


async def _activation(client: Client) -> Findings:
    (activatable,) = await client.bus("ListActivatableNames")
    if NAME in activatable:
        yield Finding("ok", "activation", "the session bus can start the daemon.")
    elif await client.running():
        yield Finding(
            "note", "activation", "the daemon runs, but the session bus can't start it.", "pubsub-cachectl setup"
        )
    else:
        yield Finding("problem", "activation", "the session bus can't start the daemon.", "pubsub-cachectl setup")
    try:
        expected = render(program_directory())
    except click.ClickException as error:
        yield Finding("problem", "activation", error.message, "Install pubsub-cached again.")
        return
    for path, text in expected.items():
        if path.exists() and path.read_bytes() != text.encode():
            yield Finding("note", "activation", f"{path} is of another installation.", "pubsub-cachectl setup")


async def _unit(client: Client) -> Findings:
    if not (await client.bus("NameHasOwner", "s", SYSTEMD))[0]:
        yield Finding("ok", "unit", "no systemd user manager is on this bus, and none is needed.")
        return
    try:
        unit = await _properties_of_unit(client)
    except PubSubCachedError as error:
        yield Finding("note", "unit", f"systemd does not say anything of {UNIT}: {error.message}")
        return
    if unit["LoadState"] != "loaded":
        yield Finding(
            "problem", "unit", f"systemd has not loaded {UNIT}: {unit['LoadState']}.", "pubsub-cachectl setup"
        )
    elif unit["ActiveState"] == "failed":
        yield Finding("problem", "unit", f"it has failed ({unit['Result']}).", f"See '{LOG}', then: {RESTART}")
    elif unit["NRestarts"]:
        yield Finding("note", "unit", f"it was restarted {unit['NRestarts']} times after failures.", f"See '{LOG}'.")
    else:
        login = "started at login" if unit["UnitFileState"] == "enabled" else "started when it is first called"
        yield Finding("ok", "unit", f"{unit['ActiveState']}, {login}.")


async def _properties_of_unit(client: Client) -> dict[str, Any]:
    manager = ("/org/freedesktop/systemd1", f"{SYSTEMD}.Manager")
    (path,) = await client.ask(SYSTEMD, *manager, "LoadUnit", "s", UNIT)
    found: dict[str, Any] = {"NRestarts": 0, "Result": ""}
    for interface in ("Unit", "Service"):
        found |= (await client.ask(SYSTEMD, path, PROPERTIES, "GetAll", "s", f"{SYSTEMD}.{interface}"))[0]
    return found


async def _daemon(client: Client) -> Findings:
    try:
        # Answered once it has started, as a property is before.
        await client.call("Manager", "ListAccounts")
        daemon = await client.get_all("Manager")
    except Failure as failure:
        remedy = "pubsub-cachectl setup" if failure.exit_code == Status.UNREACHABLE else f"See '{LOG}'."
        yield Finding("problem", "daemon", failure.message, remedy)
        return
    version = daemon["DaemonVersion"]
    if version != __version__:
        yield Finding("note", "daemon", f"version {version} runs, and {__version__} is installed.", RESTART)
    else:
        yield Finding("ok", "daemon", f"{daemon['State']}, version {version}.")


async def _database(client: Client) -> Findings:
    try:
        (statistics,) = await client.call("Debug", "GetStatistics")
    except Failure as failure:
        away = "can't be reached" in failure.message
        remedy = "Start its server, or correct [database] url in the configuration." if away else f"See '{LOG}'."
        yield Finding("problem", "database", failure.message, remedy)
        return
    if recovered := statistics.get("recovered-from"):
        yield Finding(
            "note",
            "database",
            f"the damaged database was set aside as {recovered}, and a new one was begun.",
            "What is kept is fetched again by itself. Remove the old file when nothing is missed.",
        )
    free = statistics.get("free")
    if free is not None and free < FREE_AT_LEAST:
        yield Finding(
            "problem",
            "database",
            f"only {size(free)} are free on its disk.",
            "Make room there, or: pubsub-cachectl purge --modified-before 90d; pubsub-cachectl compact",
        )
    else:
        room = f", {size(free)} free" if free is not None else ""
        yield Finding("ok", "database", f"{holds(statistics)}, {size(statistics['bytes'])}{room}.")
    async for finding in _clock(statistics.get("newest")):
        yield finding
    priority = statistics.get("presence-priority", 0)
    if priority < 0:
        sentence = f"sessions announce the priority {priority}, with which servers send no events."
        yield Finding("problem", "presence", sentence, "Install a version of pubsub-cached that announces 0.")
    else:
        yield Finding("ok", "presence", f"sessions announce the priority {priority}, so that events come.")


async def _clock(newest: int | None) -> Findings:
    """newest: the latest time that the cache wrote down."""
    if newest is not None and newest > clock() + SET_AT_MOST:
        yield Finding(
            "problem",
            "clock",
            f"the cache holds changes of {times.moment(newest)}, which is yet to come: the clock is wrong, or was.",
            "Set it with 'timedatectl set-ntp true'; if it is right now: pubsub-cachectl check",
        )
    elif await _synchronised() is False:
        yield Finding(
            "note",
            "clock",
            "it is not synchronised, on which certificates and times depend.",
            "timedatectl set-ntp true",
        )
    else:
        yield Finding("ok", "clock", f"{times.moment(clock())}.")


async def _synchronised() -> bool | None:
    """Whether the machine's clock follows others (timedate1); None where nobody can say."""
    try:
        async with opened(system=True) as system:
            timedate = "org.freedesktop.timedate1"
            arguments = (timedate, "NTPSynchronized")
            path = "/org/freedesktop/timedate1"
            return bool((await system.ask(timedate, path, PROPERTIES, "Get", "ss", *arguments, seconds=5.0))[0])
    except (BusLost, PubSubCachedError):
        return None


async def _accounts(client: Client) -> Findings:
    found = await accounts(client)
    if not found:
        yield Finding("problem", "account", "there is none.", "pubsub-cachectl account add JID")
    for each in found:
        yield _account(each)


def _account(each: dict[str, Any]) -> Finding:
    jid, state = each["jid"], each["state"]
    subject = f"account {jid}"
    if not each["enabled"]:
        return Finding("ok", subject, "disabled; what is cached of it stays readable.")
    if state == "online":
        return Finding("ok", subject, "online.")
    if state == "connecting":
        return Finding("note", subject, "connecting; look again in a moment.")
    reason = each["error-message"] or f"it is {state}."
    return Finding("note" if is_another_daemon_s(each) else "problem", subject, reason, remedy(each))


async def _analysers(client: Client) -> Findings:
    (found,) = await client.call("Analysers", "List")
    impeded = [each for each in found if each["state"] in ("invalid", "suspended")]
    for each in impeded:
        if each["state"] == "suspended":
            remedy = f"busctl --user call {NAME} {ROOT}/analyser/{encode(each['name'])} {NAME}.Analyser Resume"
        elif each["origin"] == "file":
            remedy = "Mend the file, or remove it; that counts at once."
        else:
            remedy = f"Mend or uninstall its package, then: {RESTART}"
        yield Finding("problem", f"analyser {each['name']}", each["reason"], remedy)
    if not impeded:
        yield Finding("ok", "analysers", f"each of {len(found)} can be used.")


async def _subscriptions(client: Client) -> Findings:
    """Subscriptions that the cache counts on, and that the services no longer list."""
    online = {each["jid"] for each in await accounts(client) if each["state"] == "online"}
    expected: dict[tuple[str, str], list[str]] = {}
    for node in (await client.pages("Cache", "ListNodes", "a{sv}", options={"subscribed": ("b", True)})).records:
        if node["account"] in online:
            expected.setdefault((node["account"], node["service"]), []).append(node["node"])
    vanished = False
    for (jid, service), names in sorted(expected.items()):
        try:
            found = await listed(client, jid, service, LISTING_SECONDS)
        except Failure as failure:
            yield Finding("note", "subscriptions", f"{service} does not say what is subscribed to: {failure.message}")
            continue
        there = {each["node"] for each in found if each["state"] == "subscribed"}
        missing = [name for name in names if name not in there]
        if missing:
            vanished = True
            shown = ", ".join(missing[:NAMED_AT_MOST]) + (" …" if len(missing) > NAMED_AT_MOST else "")
            sentence = f"{service} no longer lists {len(missing)} of {len(names)} subscriptions of {jid}: {shown}."
            yield Finding("problem", "subscriptions", sentence, "pubsub-cachectl check")
    if not vanished:
        count = sum(len(names) for names in expected.values())
        yield Finding("ok", "subscriptions", f"none of {count} is missing.")

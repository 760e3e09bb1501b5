"""What is shown, part by part; each part says what it expects and fails when that does not come."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from pubsub_cached.bus import Variant
from pubsub_cached.object_path import ROOT

from .sample import AVATAR, BLOG, EVENTS, MICROBLOG
from .scene import NAME, Scene, interpreter
from .terminal import Failed, Terminal

CACHE = "im.pubsubcache1.Cache"
CALL = ("busctl", "--user", "--json=short", "call", NAME)
READS = 20
TITLE, TEXT = "Live from the demo", "This post was written a moment ago, on another connection."


class Read(NamedTuple):
    """The answer of GetItems; seconds with busctl's own start."""

    items: list[dict[str, Any]]
    info: dict[str, Any]
    seconds: float


async def tell(scene: Scene, terminal: Terminal) -> None:
    """All parts in order."""
    await start(scene, terminal)
    await first_read(scene, terminal)
    await second_read(scene, terminal)
    await live(scene, terminal)
    await other_nodes(scene, terminal)
    await without_server(scene, terminal)
    await by_hand(terminal)


async def start(scene: Scene, terminal: Terminal) -> None:
    """The pieces, and the daemon."""
    terminal.chapter("The pieces")
    server = scene.server
    terminal.say(
        f"A Prosody of our own listens on {server.host}:{server.port}. Alice reads there, Bob has written these nodes:"
    )
    for node in scene.nodes:
        terminal.point(f"{node.service}  {node.node}  ({node.what})")
    kind = "a private one, started for this demonstration" if scene.private else "the session bus of this desktop"
    terminal.say(f"The bus is {kind}. To follow along in another terminal, paste these lines there first:")
    exports = [f"export {name}={shlex.quote(value)}" for name, value in scene.exports.items()]
    # At the end of the path, for the desktop's own Python comes first.
    programs = f'export PATH="$PATH:{Path(sys.executable).parent}"'
    terminal.lines(f"cd {shlex.quote(os.getcwd())}", *exports, programs)
    terminal.say("Now the daemon, with a configuration that names Alice’s account, and no database yet:")
    await terminal.run("cat", f"{scene.exports['XDG_CONFIG_HOME']}/pubsub-cached/config.toml")
    terminal.commands(scene.daemon_line)
    begin = time.perf_counter()
    await scene.start_daemon()
    owned = time.perf_counter()
    await scene.until_account("online")
    online = time.perf_counter()
    terminal.result(f"on the bus after {_ms(owned - begin)}, Alice online after {_ms(online - begin)}")
    await terminal.run("busctl", "--user", "call", NAME, ROOT, f"{NAME}.Manager", "ListAccounts")


async def first_read(scene: Scene, terminal: Terminal) -> None:
    """Nothing is cached: the service answers, and the cache begins to keep the node."""
    terminal.chapter("The first read: from the service")
    terminal.say("Three strings name a node: the account (empty: the only one), the service, the node.")
    read = await get_items(terminal, scene.server.pubsub, BLOG)
    for item in read.items:
        terminal.point(headline(item))
    source(read, "network")
    terminal.result(f"source: network – {len(read.items)} posts, {_ms(read.seconds)}, busctl’s own start included")
    if "job" not in read.info:
        raise Failed("The first read began no synchronisation.")
    terminal.say("The node is a blog, so the daemon keeps it from now on. When it has all of it, Wait answers:")
    await terminal.run("busctl", "--user", "call", NAME, read.info["job"], "im.pubsubcache1.Job", "Wait")


async def second_read(scene: Scene, terminal: Terminal) -> None:
    """The same, from the cache, and both measured without the cost of starting a program each time."""
    terminal.chapter("The second read: from the cache")
    read = await get_items(terminal, scene.server.pubsub, BLOG)
    source(read, "cache")
    terminal.result(
        f"source: cache, freshness: {read.info['freshness']} – {len(read.items)} posts, {_ms(read.seconds)}, "
        "most of it busctl’s own start"
    )
    network = await timed(scene, "network")
    cache = await timed(scene, "cache")
    terminal.say(f"A program that stays connected sees the difference; both reads {READS} times, medians:")
    terminal.result(
        f"from the service {_ms(network)}, from the cache {_ms(cache)}: {network / cache:.0f} times as fast"
    )


async def live(scene: Scene, terminal: Terminal) -> None:
    """Bob publishes; the daemon tells who listens, and has it already."""
    terminal.chapter("A post arrives")
    terminal.say("One program listens to the daemon’s signals, while Bob writes a post on his own connection:")
    async with terminal.background("gdbus", "monitor", "--session", "-d", NAME, ready="is owned by") as signals:
        python = interpreter()
        where = (str(scene.directory), scene.server.pubsub, BLOG)
        await terminal.run(python, "-m", "demo.publish", *where, TITLE, TEXT)
        line = await terminal.line(signals, "ItemsChanged")
    terminal.say("The signal, with ids and never with contents:")
    terminal.output(line)
    terminal.say("Who wants the post itself reads it; the daemon has it already:")
    read = await get_items(terminal, scene.server.pubsub, BLOG, limit=1)
    source(read, "cache")
    if TITLE not in headline(read.items[0]):
        raise Failed(f"The newest post should be {TITLE!r}, not {headline(read.items[0])!r}.")
    terminal.result(f"source: cache – {headline(read.items[0])}")


async def other_nodes(scene: Scene, terminal: Terminal) -> None:
    """Nodes of other kinds, and what the daemon knows of them all."""
    terminal.chapter("Other nodes")
    terminal.say(
        "Everything that a service holds can be read. What no analyser keeps comes from the service each time."
    )
    bob = scene.server.jid("bob")
    for service, node in ((bob, MICROBLOG), (scene.server.pubsub, EVENTS), (bob, AVATAR)):
        read = await get_items(terminal, service, node, limit=1, fields=("id", "type", "payload"))
        if not read.items:
            raise Failed(f"{node} should have an item.")
        kept = "not kept"
        if read.info["source"] == "cache":
            kept = "kept already, for a friend’s own nodes come by themselves"
        elif "job" in read.info:
            kept = "kept from now on"
        terminal.result(f"source: {read.info['source']}, type: {read.items[0].get('type') or 'unknown'} – {kept}")
    terminal.say("What the daemon knows of all of them:")
    answer = await terminal.run(*CALL, ROOT, CACHE, "ListNodes", "a{sv}", "0", quiet=True)
    for each in plain(json.loads(answer.text)["data"])[0]:
        kind = each.get("type", "unknown")
        terminal.point(
            f"{each['node']} at {each['service']}: {kind}, {each['state']}, items kept: {each.get('items', 0)}"
        )


async def without_server(scene: Scene, terminal: Terminal) -> None:
    """The server is gone; what was read stays readable."""
    terminal.chapter("The server is stopped")
    scene.server.stop()
    state = await scene.until_account("offline", "connecting", "waiting", "failed")
    terminal.say(f"Prosody has ended. Alice’s account is “{state}”, and her programs go on reading:")
    read = await get_items(terminal, scene.server.pubsub, BLOG, limit=3)
    for item in read.items:
        terminal.point(headline(item))
    source(read, "cache")
    if read.info["freshness"] != "offline":
        raise Failed(f"Without the server the freshness should be offline, not {read.info['freshness']}.")
    terminal.result(f"source: cache, freshness: offline – {len(read.items)} posts, {_ms(read.seconds)}")


async def by_hand(terminal: Terminal) -> None:
    """The interface describes itself."""
    terminal.chapter("The interface")
    terminal.say("Everything the daemon offers can be looked up on the bus:")
    answer = await terminal.run("busctl", "--user", "--no-pager", "introspect", NAME, ROOT, CACHE, quiet=True)
    for line in answer.text.splitlines():
        terminal.output(line[:104])


async def resume(scene: Scene, terminal: Terminal) -> None:
    """The server comes back, and everything is left to the reader."""
    terminal.chapter("Over to you")
    scene.server.start()
    terminal.say("Prosody is back; the daemon connects again by itself.")
    await scene.until_account("online")
    python = interpreter()
    terminal.say("Everything keeps running until Ctrl-C. In the other terminal, for example:")
    terminal.commands(f"gdbus monitor --session -d {NAME}")
    words = (python, "-m", "demo.publish", str(scene.directory), scene.server.pubsub, BLOG, "Hello", "My first post.")
    terminal.commands(shlex.join(words))
    terminal.commands(shlex.join(items_command(scene.server.pubsub, BLOG, 1, ())))
    terminal.commands(f"tail -f {shlex.quote(str(scene.log_file))}")


def items_command(service: str, node: str, limit: int, fields: tuple[str, ...]) -> tuple[str, ...]:
    """GetItems as busctl takes it."""
    options = ("limit", "u", str(limit), *(("fields", "as", str(len(fields)), *fields) if fields else ()))
    count = "2" if fields else "1"
    return (*CALL, ROOT, CACHE, "GetItems", "sssa{sv}", "", service, node, count, *options)


async def get_items(
    terminal: Terminal, service: str, node: str, *, limit: int = 5, fields: tuple[str, ...] = ()
) -> Read:
    """Read with busctl, shown."""
    answer = await terminal.run(*items_command(service, node, limit, fields))
    items, _, info = plain(json.loads(answer.text)["data"])
    return Read(items, info, answer.seconds)


async def timed(scene: Scene, policy: str) -> float:
    """Seconds that a read takes over a connection that is open, median."""
    options = {"limit": Variant("u", 5), "policy": Variant("s", policy)}
    body = ["", scene.server.pubsub, BLOG, options]
    taken = []
    for _ in range(READS):
        begin = time.perf_counter()
        await scene.client.call(NAME, ROOT, CACHE, "GetItems", "sssa{sv}", body)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def source(read: Read, expected: str) -> None:
    """Raise Failed when a read did not come from where it should."""
    if read.info.get("source") != expected:
        raise Failed(f"The read should have come from the {expected}; info says {read.info}.")


def plain(value: Any) -> Any:
    """A value as busctl writes it in JSON, without the types of the variants."""
    if isinstance(value, dict):
        if value.keys() == {"type", "data"} and isinstance(value["type"], str):
            return plain(value["data"])
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def headline(item: dict[str, Any]) -> str:
    """A post in one line, from the parser's JSON."""
    data = json.loads(item.get("data", "{}"))
    title = next((each["text"] for each in data.get("title", [])), item.get("id", ""))
    terms = ", ".join(each["term"] for each in data.get("categories", []))
    return f"{data.get('published', '')[:10]}  {title}" + (f"  [{terms}]" if terms else "")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"

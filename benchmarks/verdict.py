"""What came of a soak: whether anything grew, slowed down or went astray, and how that is said."""

from __future__ import annotations

import statistics

import msgspec

from .measure import duration

# Who work at once, each with connections of its own.
WORKERS = 4
# What the last third may be of the middle one: noise of a busy machine, not growth.
SLOWER = 1.3
MORE_MEMORY = 1.05
# In less time, s, a daemon has not warmed up, and nothing is said of what grows.
WARM = 60.0
# asyncio's own, of a TLS stream that both sides end at once; the session ends as it should.
HARMLESS = "cannot switch state from SSLProtocolState.UNWRAPPED"


class Sample(msgspec.Struct):
    """memory: MiB. ratio: of a read by the same read of the echo, which follows. latency: of the read, seconds.

    work: of the processor for a read, on the daemon's loop, seconds; what else the machine does changes it least.
    """

    memory: float
    descriptors: int
    ratio: float
    latency: float
    work: float


class Verdict(msgspec.Struct):
    """What came of it; ``failures`` are sentences."""

    seconds: float
    actions: int
    samples: list[Sample]
    errors: dict[str, int]
    failures: list[str]


def growth(samples: list[Sample]) -> list[str]:
    """What the last third has more of than the middle one; a third has to be some samples to say anything."""
    third = len(samples) // 3
    if third < 2:
        return []
    middle, last = samples[third : 2 * third], samples[2 * third :]
    found = []
    before, after = (statistics.median(each.memory for each in part) for part in (middle, last))
    if after > before * MORE_MEMORY:
        found.append(f"Memory grew from {before:.1f} to {after:.1f} MiB.")
    least, most = (min(each.descriptors for each in part) for part in (middle, last))
    if most > least + WORKERS:
        found.append(f"Open descriptors grew from {least} to {most}.")
    before, after = (statistics.median(each.ratio for each in part) for part in (middle, last))
    if after > before * SLOWER:
        found.append(f"Reads became slower: {before:.2f}× of the echo, then {after:.2f}×.")
    before, after = (statistics.median(each.work for each in part) for part in (middle, last))
    if after > before * SLOWER:
        found.append(f"Reads became dearer: {duration(before)} of the processor, then {duration(after)}.")
    return found


def tracebacks(logged: str) -> list[str]:
    """The first traceback of a log that is not harmless, as a sentence, or nothing; a record is a line."""
    lines = logged.splitlines()
    bad = [number for number, line in enumerate(lines) if "Traceback" in line and HARMLESS not in line]
    return ["\n".join(["The log has a traceback:", *lines[bad[0] :]])[:3000]] if bad else []


def report(verdict: Verdict) -> str:
    """The verdict for people."""
    lines = [f"{verdict.actions:,} actions in {duration(verdict.seconds)}"]
    for when, sample in zip(("first", "last"), (*verdict.samples[:1], *verdict.samples[-1:]), strict=False):
        lines.append(f"{when}: {described(sample)}")
    told = ", ".join(f"{count} {name}" for name, count in sorted(verdict.errors.items()))
    lines.append(f"errors that clients were told: {told or 'none'}")
    flat = (
        "Memory, descriptors and latency are flat" if verdict.seconds >= WARM else "It was too short to tell what grows"
    )
    lines += verdict.failures or [f"{flat}, and the cache is what the service holds."]
    return "\n".join(lines)


def described(sample: Sample) -> str:
    return (
        f"{sample.memory:.1f} MiB, {sample.descriptors} descriptors, "
        f"a read of 20 items {duration(sample.latency)}, {sample.ratio:.2f}× of the echo, "
        f"{duration(sample.work)} of the processor"
    )

"""What a node may be, by the names of ``ListNodes``."""

STATES = (
    "unknown",
    "discovered",
    "syncing",
    "live",
    "polled",
    "stale",
    "unreachable",
    "denied",
    "gone",
    "excluded",
)

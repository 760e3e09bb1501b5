"""``pubsub-cachectl``: what an administrator of their own desktop needs.

One module a noun. Each talks to the daemon over the bus, by ``client``, and to nothing else; what is slow to import
(the bus, rich) is imported when it is used. ``program`` puts the commands together.
"""

from .program import main

__all__ = ["main"]

"""What a read may say: the cache between the bus and the services.

Its rooms, each of which imports only those before it:

    accounts nodes parsing sync reads search views upkeep revalidation events reanalysis writing

``house`` puts them together. What else is beside them serves them all: what is told (``changes``, ``jobs``), how a read
is asked for and answered (``options``, ``place``, ``cursor``, ``policy``), and ``jitter``.
"""

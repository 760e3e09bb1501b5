#!/usr/bin/python3 -sP
"""The command line, with the libraries of its package."""

import sys

sys.path.insert(0, "/usr/lib/pubsub-cached")

from pubsub_cached.cli import main

main()

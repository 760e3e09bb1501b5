#!/usr/bin/python3 -sP
"""The daemon, with the libraries of its package."""

import sys

sys.path.insert(0, "/usr/lib/pubsub-cached")

from pubsub_cached.__main__ import main

sys.exit(main())

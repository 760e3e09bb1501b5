"""Fixtures shared by all tests live in ``tests.support``, one real part a module."""

import os

from hypothesis import settings

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("timeless", deadline=None)
# A change is judged by the same examples each time; those who run the tests by hand look for new ones.
settings.register_profile("ci", settings.get_profile("timeless"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "timeless")

pytest_plugins = [
    "tests.support.bus",
    "tests.support.dbusmock",
    "tests.support.prosody",
    "tests.support.ejabberd",
    "tests.support.postgresql",
    "tests.support.cached",
    "tests.support.daemon",
    "tests.support.usermanager",
    "tests.support.sandboxed",
    "tests.support.screen",
]

"""Fixtures shared by all tests live in ``tests.support``, one real part a module."""

import os

from hypothesis import settings

# A change is judged by the same examples each time; those who run the tests by hand look for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

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

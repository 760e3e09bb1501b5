"""Fixtures shared by all tests live in ``tests.support``, one real part a module."""

pytest_plugins = [
    "tests.support.bus",
    "tests.support.dbusmock",
    "tests.support.prosody",
    "tests.support.ejabberd",
    "tests.support.cached",
    "tests.support.daemon",
]

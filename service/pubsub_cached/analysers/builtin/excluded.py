"""Nodes whose content is never stored: secrets, keys of others' making, and what only a messenger needs."""

from __future__ import annotations

from ..definition import Definition


def _excluded(name: str, node: str, *, exact: bool = False) -> Definition:
    return Definition(name=name, type="excluded", node=node, exact=exact, kind="map", private=True, excluded=True)


DEFINITIONS = (
    # The secret key of OpenPGP for XMPP, encrypted only by a backup code (XEP-0373 5).
    _excluded("openpgp-secret-key", "urn:xmpp:openpgp:0:secret-key", exact=True),
    # Devices and bundles of OMEMO (XEP-0384), every version of its namespace.
    _excluded("omemo", "urn:xmpp:omemo:"),
    _excluded("omemo-legacy", "eu.siacs.conversations.axolotl."),
    # Private storage moved to PEP (XEP-0223, XEP-0048): bookmarks with passwords, notes, annotations.
    _excluded("private-storage", "storage:"),
    # Message Displayed Synchronization (XEP-0490).
    _excluded("displayed", "urn:xmpp:mds:displayed:"),
    # End-to-End Encrypted Contacts Metadata (XEP-0510 4).
    _excluded("contacts", "urn:xmpp:contacts", exact=True),
    _excluded("contact-groups", "urn:xmpp:contacts-groups", exact=True),
)

"""File descriptors in messages: an ``h`` in a body is an index into the list that travels beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from dbus_fast import Message

from .values import signature_tree


def close(fds: Sequence[int]) -> None:
    """Closes descriptors."""
    for fd in fds:
        os.close(fd)


def close_all(message: Message) -> None:
    """Closes the descriptors that came with a message; nobody else does."""
    if message.unix_fds:
        close(message.unix_fds)
        message.unix_fds = []


def lend(signature: str, body: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """A body to send and duplicates of the descriptors in it, which stay the caller's."""
    values = list(body)
    if "h" not in signature:
        return values, []
    positions = [index for index, kind in enumerate(signature_tree(signature).types) if kind.token == "h"]
    duplicates: list[int] = []
    try:
        for position in positions:
            duplicates.append(os.dup(values[position]))
            values[position] = len(duplicates) - 1
    except BaseException:
        close(duplicates)
        raise
    return values, duplicates


def give(body: list[Any], positions: tuple[int, ...]) -> list[int]:
    """The descriptors at ``positions``, replaced in ``body`` by their index; they are to be sent and closed.

    Raises TypeError when one is none, or is not open (sending it would cost the connection); the others are closed.
    """
    fds = [body[position] for position in positions if _is_open(body[position])]
    if len(fds) < len(positions):
        close(fds)
        raise TypeError("an open file descriptor is needed")
    for index, position in enumerate(positions):
        body[position] = index
    return fds


def _is_open(value: object) -> bool:
    if type(value) is not int or value < 0:
        return False
    try:
        os.fstat(value)
    except OSError:
        return False
    return True


def arguments(message: Message, positions: tuple[int, ...]) -> list[Any]:
    """A received body with the descriptors themselves at ``positions``; IndexError for one that did not come.

    They stay the message's: ``close_all`` closes them.
    """
    body = list(message.body)
    for position in positions:
        body[position] = message.unix_fds[body[position]]
    return body


def take(message: Message) -> list[Any]:
    """A received body with the descriptors themselves; these are the receiver's now, the others are closed."""
    positions = tuple(index for index, kind in enumerate(message.signature_tree.types) if kind.token == "h")
    try:
        body = arguments(message, positions)
    except IndexError:
        close_all(message)
        raise
    taken = {body[position] for position in positions}
    close([fd for fd in message.unix_fds if fd not in taken])
    message.unix_fds = []
    return body

"""Who called: the sender of the call that is running."""

from __future__ import annotations

from contextvars import ContextVar

current: ContextVar[str] = ContextVar("caller")


def caller() -> str:
    """Unique name of the sender of the running method, property read or property write.

    Works in sync and async code and in the tasks that such code starts.
    Raises LookupError outside a call.
    """
    return current.get()

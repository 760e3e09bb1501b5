"""Who called: the sender of the call that is running, and whether it may do everything."""

from __future__ import annotations

from contextvars import ContextVar

current: ContextVar[str] = ContextVar("caller")
limited: ContextVar[bool] = ContextVar("limited", default=False)


def caller() -> str:
    """Unique name of the sender of the running method, property read or property write.

    Works in sync and async code and in the tasks that such code starts.
    Raises LookupError outside a call.
    """
    return current.get()


def sandboxed() -> bool:
    """Whether the running method was called by a sandboxed client that the configuration does not list.

    Works where ``caller`` does; False outside a call.
    """
    return limited.get()

"""The bodies of the frames that tell of an exception of the model."""

from __future__ import annotations

import sys

import orjson

from workers.telemetry.tracebacks import message_of, name_of, shown


def described(error: BaseException | str, name: str | None = None) -> bytes:
    """`[type, message]` as JSON, each cut to 2,000 characters."""
    return orjson.dumps([shown(name if name is not None else name_of(error)), message_of(error)])


def again(error: BaseException) -> bytes:
    """`[defer_ms or null, reason]` as JSON, of one for which `is_retry` holds."""
    defer_ms = getattr(error, "defer_score", None)
    cause = error.__cause__ or error.__context__
    reason = shown(f"{name_of(cause)}: {message_of(cause)}") if cause is not None else ""
    return orjson.dumps([defer_ms if isinstance(defer_ms, int) and abs(defer_ms) < 2**53 else None, reason])


def is_retry(error: BaseException) -> bool:
    """Whether it is arq's `Retry` or `RetryJob`. Nobody can raise them who has not imported them."""
    arq = sys.modules.get("arq.worker")
    return arq is not None and isinstance(error, (arq.Retry, arq.RetryJob))

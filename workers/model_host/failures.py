"""What is told about an exception of the model, whatever its class and its message are like."""

from __future__ import annotations

import sys
from typing import Any

import orjson

from workers.telemetry.tracebacks import MAX_MESSAGE_CHARS


def described(error: BaseException | str, name: str | None = None) -> bytes:
    """`[type, message]` as JSON, each cut to 2,000 characters."""
    return orjson.dumps([_shown(name if name is not None else name_of(error)), message_of(error)])


def again(error: BaseException) -> bytes:
    """`[defer_ms or null, reason]` as JSON, of one for which `is_retry` holds."""
    defer_ms = getattr(error, "defer_score", None)
    cause = error.__cause__ or error.__context__
    reason = _shown(f"{name_of(cause)}: {message_of(cause)}") if cause is not None else ""
    return orjson.dumps([defer_ms if isinstance(defer_ms, int) and abs(defer_ms) < 2**53 else None, reason])


def is_retry(error: BaseException) -> bool:
    """Whether it is arq's `Retry` or `RetryJob`. Nobody can raise them who has not imported them."""
    arq = sys.modules.get("arq.worker")
    return arq is not None and isinstance(error, (arq.Retry, arq.RetryJob))


def name_of(error: Any) -> str:
    """The name of its class."""
    # A metaclass may have another idea of `__name__`.
    return _shown(type.__dict__["__name__"].__get__(type(error)) or "Exception")


def message_of(error: Any) -> str:
    """Its message, cut to 2,000 characters."""
    try:
        return _shown(str(error))
    except BaseException:  # noqa: BLE001
        return "(an error whose message can't be made)"


def _shown(text: str) -> str:
    # `str` itself, as a class derived from it may do anything. Lone surrogates are no JSON.
    return str.encode(str.__getitem__(text, slice(MAX_MESSAGE_CHARS)), errors="replace").decode()

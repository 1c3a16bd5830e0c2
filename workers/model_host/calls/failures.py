"""How a job or a load fails in the model's process, and the bodies of the frames that tell of it."""

from __future__ import annotations

import sys

import orjson

from workers.broken import Broken
from workers.model_host.protocol.frames import AGAIN, BROKEN, ERROR, INVALID
from workers.telemetry.tracebacks import message_of, name_of, shown


class NotLoadable(Exception):  # noqa: N818
    """There is no such model, or none that could run a job. The message is one sentence on why."""


class Refusal(Exception):  # noqa: N818
    """A job fails with `type` and the message, which names the cause: the log needs no traceback."""

    def __init__(self, type: str, message: str) -> None:  # noqa: A002
        self.type = type
        super().__init__(message)


class InputRefused(Refusal):
    """The input does not fit `predict`, which was not called."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidInput", message)


def answer_of(error: BaseException) -> tuple[bytes, bytes]:
    """The kind and the body of the frame that tells of what `predict` raised."""
    if is_retry(error):
        return AGAIN, again(error)
    if isinstance(error, InputRefused):
        return INVALID, described(error)
    return BROKEN if isinstance(error, Broken) else ERROR, described(error)


def described(error: BaseException) -> bytes:
    """`[type, message]` as JSON, each cut to 2,000 characters."""
    return orjson.dumps([shown(error.type if isinstance(error, Refusal) else name_of(error)), message_of(error)])


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

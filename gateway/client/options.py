"""What a push may ask for, and what the gateway says of a job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class SubmitOptions(TypedDict, total=False):
    """The options of a job; the API's page says what each means and at most is. Times are in seconds.

    `at` needs a time zone. `idempotency_key` stands in place of the client's own, which is new for each call.
    """

    queue: str
    timeout_s: float
    max_attempts: int
    keep_s: float
    ttl_s: float
    delay_s: float
    at: datetime
    tag: str
    priority: Literal["high", "normal", "low"]
    webhook: str
    webhook_events: Sequence[str]
    idempotency_key: str


class JobStatus(TypedDict):
    """The status document. Times are RFC 3339."""

    id: str
    status: str
    attempts: int
    queued: str
    started: str | None
    finished: str | None
    error: dict[str, Any] | None
    ahead: int | None
    progress: dict[str, Any] | None
    due: NotRequired[str]
    tag: NotRequired[str]


ENDS = frozenset({"finished", "failed", "cancelled"})
"""The statuses that are ends."""

_SECONDS = {"timeout_s": "timeout", "keep_s": "keep", "ttl_s": "ttl", "delay_s": "delay"}


def query_of(options: SubmitOptions) -> dict[str, str]:
    """The query's parameters. Raises ValueError for a time without a zone, TypeError for an unknown option."""
    query: dict[str, str] = {}
    for name, value in options.items():
        if value is None or name == "idempotency_key":
            continue
        if name in _SECONDS:
            query[_SECONDS[name]] = f"{value:.15g}"
        elif name == "at":
            query["at"] = _time(options["at"])
        elif name == "webhook_events":
            query["webhook_events"] = ",".join(options["webhook_events"])
        elif name in SubmitOptions.__annotations__:
            query[name] = str(value)
        else:
            raise TypeError(f"there is no option {name!r}")
    return query


def encoded(value: Any) -> bytes:
    """The value as JSON. Raises TypeError or ValueError for what is none, as NaN."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _time(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("`at` needs a time zone: datetime(..., tzinfo=UTC)")
    return at.isoformat()

"""What a push may ask for its job. `lua/pushing/options.lua` says what is kept of it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import orjson

Priority: TypeAlias = Literal["high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("high", "normal", "low")


class JobOptions(NamedTuple):
    """Options of one job; None is what the settings say. `ttl_ms` counts from when the job is pushed, or due.

    `priority` None is that of most jobs, normal. `traceparent` is the trace of the push (W3C Trace Context).
    """

    timeout_s: float | None = None
    max_attempts: int | None = None
    keep_ms: int | None = None
    ttl_ms: int | None = None
    tag: str | None = None
    priority: Priority | None = None
    traceparent: str | None = None

    def encoded(self) -> str:
        """As JSON; empty if there are none."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        return orjson.dumps(given).decode() if given else ""

    @classmethod
    def from_json(cls, text: bytes) -> JobOptions:
        """Reads what `encoded` has written. What another release has added is left out."""
        if not text:
            return NO_OPTIONS
        given: dict[str, Any] = orjson.loads(text)
        return cls(**{name: given[name] for name in cls._fields if name in given})


NO_OPTIONS = JobOptions()

"""What a push asks for its job by its query: `timeout`, `max_attempts`, `keep`, `ttl`, `delay` or `at`, and more."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.http.errors import Problem
from gateway.http.request import NUMBER, HttpRequest
from gateway.http.traceparent import traceparent_of
from workers.stream import NO_OPTIONS, PRIORITIES, JobOptions

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings
    from workers.stream import Priority

OPTIONS = ("timeout", "max_attempts", "keep", "ttl", "delay", "at", "tag", "priority")
_OPTIONS = frozenset(OPTIONS)
LEAST_TIMEOUT_S = 0.001
LEAST_KEEP_S = 1
LEAST_TTL_S = 0.001
_COUNT = re.compile(r"[0-9]{1,9}")
# Without control characters, and without what stands for bytes that are no UTF-8.
TAG_PATTERN = r"[^\u0000-\u001f\u007f-\u009f\ufffd]+"
_TAG = re.compile(TAG_PATTERN)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


class PushOptions(NamedTuple):
    """The options of a push. `text` is the same for the same options: a repeated push must have them again.

    The job is due in `delay_ms` ms or, by the server's clock, at `at_ms` since the epoch; 0 is at once.
    """

    job: JobOptions = NO_OPTIONS
    delay_ms: int = 0
    at_ms: int = 0
    text: bytes = b""


NO_PUSH_OPTIONS = PushOptions()


def read_options(request: HttpRequest, settings: GatewaySettings, highest: Priority = "high") -> PushOptions:
    """Reads the query. Raises Problem 400, whose member `parameters` names what is wrong, and 403.

    A job's priority is at most the `highest` of the key; a push that asks for none gets that if it is low.
    """
    query = request.query
    traceparent = traceparent_of(request) or None
    if _OPTIONS.isdisjoint(query) and highest != "low":
        return PushOptions(JobOptions(traceparent=traceparent)) if traceparent else NO_PUSH_OPTIONS
    if "delay" in query and "at" in query:
        raise _refused("a job has a delay or a time, not both", "delay", "at")
    keep_s = _seconds(query, "keep", LEAST_KEEP_S, settings.max_keep_s)
    ttl_s = _seconds(query, "ttl", LEAST_TTL_S, settings.max_ttl_s)
    job = JobOptions(
        timeout_s=_seconds(query, "timeout", LEAST_TIMEOUT_S, settings.job_timeout_s),
        max_attempts=_count(query, "max_attempts", settings.max_job_attempts),
        keep_ms=None if keep_s is None else round(keep_s * 1000),
        ttl_ms=None if ttl_s is None else round(ttl_s * 1000),
        tag=read_tag(query, settings.max_tag_chars),
        priority=_priority(query, highest),
    )
    delay_ms = round((_seconds(query, "delay", 0, settings.max_delay_s) or 0) * 1000)
    at_ms = _time_ms(query, settings.max_delay_s)
    # Without the trace: a push that is repeated may be part of another one. A fingerprint of an earlier release stands.
    asked = [*job[:-2], delay_ms, at_ms]
    text = orjson.dumps(asked if job.priority is None else [*asked, job.priority])
    if traceparent:
        job = job._replace(traceparent=traceparent)
    return PushOptions(job if any(value is not None for value in job) else NO_OPTIONS, delay_ms, at_ms, text)


def _refused(detail: str, *parameters: str) -> Problem:
    return Problem(400, detail, parameters=parameters)


def _seconds(query: dict[str, str], name: str, least: float, most: float) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    if not NUMBER.fullmatch(text) or not least <= float(text) <= most:
        raise _refused(f"{name} must be a number of seconds from {least:.15g} to {most:.15g}", name)
    return float(text)


def _count(query: dict[str, str], name: str, most: int) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not _COUNT.fullmatch(text) or not 1 <= int(text) <= most:
        raise _refused(f"{name} must be a whole number from 1 to {most}", name)
    return int(text)


def _priority(query: dict[str, str], highest: Priority) -> Priority | None:
    text = query.get("priority")
    if text is None:
        return "low" if highest == "low" else None
    for priority in PRIORITIES:
        if priority == text:
            if PRIORITIES.index(priority) < PRIORITIES.index(highest):
                raise Problem(403, f"the highest priority of this key is {highest}", parameters=("priority",))
            return None if priority == "normal" else priority
    raise _refused("priority must be high, normal or low", "priority")


def read_tag(query: dict[str, str], most_chars: int) -> str | None:
    """The `tag` of a query. Raises Problem 400."""
    tag = query.get("tag")
    if tag is not None and not (len(tag) <= most_chars and _TAG.fullmatch(tag)):
        raise _refused(f"tag must be 1 to {most_chars} characters, none of which is a control character", "tag")
    return tag


def _time_ms(query: dict[str, Any], most_s: float) -> int:
    text = query.get("at")
    if text is None:
        return 0
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        at_s = datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise _refused(
            "at must be a time such as 2030-01-31T08:00:00Z or 2030-01-31T08:00:00%2B01:00 (RFC 3339)", "at"
        ) from None
    if at_s > time.time() + most_s:
        raise _refused(f"at must be no more than {most_s:.15g} s ahead", "at")
    return max(1, round(at_s * 1000))

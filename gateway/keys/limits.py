"""What a client is told whose push or upload is beyond a limit of its key."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.http.errors import Problem

if TYPE_CHECKING:
    from workers.stream import Pushed, PushLimits, UploadRefusal

_HOUR_S = 3600
_DAY_S = 86_400


def too_many(pushed: Pushed, limits: PushLimits) -> Problem:
    """429 with Retry-After, and the fields of the IETF draft "RateLimit header fields for HTTP"."""
    retry_s = max(1, math.ceil(pushed.retry_ms / 1000))
    policy = f'"{pushed.limit}";'
    match pushed.limit:
        case "pushes_per_s":
            detail = f"this key may push {limits.pushes_per_s:g} jobs/s, and {limits.burst} at once"
            policy += f"q={limits.burst};w={max(1, math.ceil(limits.burst / limits.pushes_per_s))}"
        case "bytes_per_day":
            detail = f"this key may push {limits.bytes_per_day} bytes a day (UTC)"
            policy += f'q={limits.bytes_per_day};w={_DAY_S};qu="content-bytes"'
        case "backlog_share":
            detail = f"this key may fill {limits.backlog_share:.4g} of the backlog, and has"
        case _:
            detail = f"this key may have {limits.outstanding} jobs that have not ended"
            policy += f"q={limits.outstanding}"
    if pushed.limit == "backlog_share":  # that is no number of jobs
        policy = ""
    return _limited(pushed.limit, detail, retry_s, policy)


def too_many_uploads(refusal: UploadRefusal, most_uploads: int, most_bytes: int) -> Problem:
    """The same for an upload."""
    retry_s = max(1, math.ceil(refusal.retry_ms / 1000))
    most, unit, quota = most_uploads, "files", ""
    if refusal.limit == "upload_bytes_per_hour":
        most, unit, quota = most_bytes, "bytes", ';qu="content-bytes"'
    detail = f"one key may upload {most} {unit} an hour"
    return _limited(refusal.limit, detail, retry_s, f'"{refusal.limit}";q={most};w={_HOUR_S}{quota}')


def _limited(limit: str, detail: str, retry_s: int, policy: str) -> Problem:
    headers = {"Retry-After": str(retry_s)}
    if policy:
        headers |= {"RateLimit-Policy": policy, "RateLimit": f'"{limit}";r=0;t={retry_s}'}
    return Problem(429, detail, headers, limit=limit)

"""What can go wrong, as exceptions: each answer's problem document has its class."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# A proxy answers these while the gateway behind it is away.
_AWAY = frozenset({502, 503, 504})


class LeadtimeError(Exception):
    """Whatever the client raises, but for wrong arguments."""


class RequestRefused(LeadtimeError):  # noqa: N818
    """The gateway has refused a request, which would be refused again.

    `status` is HTTP's, `detail` one sentence, `members` the whole problem document (RFC 9457).
    """

    def __init__(self, status: int, detail: str, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{_with_faults(detail, members or {})} ({status})")
        self.status = status
        self.detail = detail
        self.members = dict(members or {})

    @property
    def parameters(self) -> list[str]:
        """The options that are unknown, malformed or out of bounds."""
        return [str(name) for name in self.members.get("parameters", [])]


class NotAuthorized(RequestRefused):
    """401: the gateway wants an API key, and has got none that it knows."""


class NotFound(RequestRefused):
    """404: there is no such job, batch, file, queue or function, or it is another key's."""


class ConflictingState(RequestRefused):
    """409: what was asked for does not go with the job's status, which `job_status` says."""

    @property
    def job_status(self) -> str:
        """The job's status, such as `finished`."""
        return str(self.members.get("job_status", ""))


class UnprocessableInput(RequestRefused):
    """422: the model does not take the input; `errors` has the first faults, each with `pointer` and `detail`."""

    @property
    def errors(self) -> list[dict[str, str]]:
        """The faults. Empty if the idempotency key was used before, with another input or other options."""
        return list(self.members.get("errors", []))


class LimitReached(RequestRefused):
    """429: the key's name has reached a limit, and for longer than the client is patient."""

    def __init__(self, detail: str, members: Mapping[str, Any], retry_after_s: float | None) -> None:
        super().__init__(429, detail, members)
        self.retry_after_s = retry_after_s

    @property
    def limit(self) -> str:
        """The limit's name, such as `pushes_per_s`."""
        return str(self.members.get("limit", ""))


class ServerFault(RequestRefused):
    """500, or an answer that the client does not understand: the gateway's log says more."""


class GatewayUnavailable(LeadtimeError):  # noqa: N818
    """The gateway can't be reached, or can't serve (503), and that for longer than the client is patient.

    `was_answered` says that an answer came: then the request has had no effect.
    """

    def __init__(self, detail: str, retry_after_s: float | None = None, was_answered: bool = False) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.was_answered = was_answered


class WaitOver(LeadtimeError, TimeoutError):  # noqa: N818
    """The job or batch `id` has not ended within the time that the caller gave it. It goes on."""

    def __init__(self, what_id: str, timeout_s: float) -> None:
        super().__init__(f"{what_id} has not ended within {timeout_s:g} s")
        self.id = what_id


class JobNotFinished(LeadtimeError):  # noqa: N818
    """The job `id` has ended without a result."""

    def __init__(self, job_id: str, sentence: str) -> None:
        super().__init__(f"job {job_id} {sentence}")
        self.id = job_id


class FailedJob(JobNotFinished):
    """The job has failed: `type` and `message` are those of the model's exception, or of what the service did."""

    def __init__(self, job_id: str, error: Mapping[str, Any] | None) -> None:
        self.type = str((error or {}).get("type", ""))
        self.message = str((error or {}).get("message", ""))
        super().__init__(job_id, f"has failed: {self.type}: {self.message}")


class CancelledJob(JobNotFinished):
    """The job was cancelled."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id, "was cancelled")


class WebhookRefused(LeadtimeError):  # noqa: N818
    """A webhook that was not signed with one of the secrets, or too long ago."""


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> LeadtimeError:
    """The exception for an answer of 400 or more."""
    members = _document(body)
    detail = str(members.get("detail") or _phrase(status))
    retry_after_s = _seconds(headers.get("Retry-After"))
    if status in _AWAY:
        return GatewayUnavailable(detail, retry_after_s, was_answered=status == HTTPStatus.SERVICE_UNAVAILABLE)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return LimitReached(detail, members, retry_after_s)
    classes: dict[int, type[RequestRefused]] = {
        401: NotAuthorized, 404: NotFound, 409: ConflictingState, 422: UnprocessableInput
    }  # fmt: skip
    kind = classes.get(status, ServerFault if status >= 500 else RequestRefused)
    return kind(status, detail, members)


def job_error(job_id: str, status: str, error: Mapping[str, Any] | None) -> JobNotFinished:
    """The exception for a job that has ended with this status."""
    if status == "failed":
        return FailedJob(job_id, error)
    if status == "cancelled":
        return CancelledJob(job_id)
    return JobNotFinished(job_id, f"has no result: it is {status}")


def _with_faults(detail: str, members: Mapping[str, Any]) -> str:
    """What is wrong, with the place of the input in its batch and all faults of the input."""
    index, faults = members.get("index"), members.get("errors")
    where = f"input {index}: " if isinstance(index, int) else ""
    told = [
        f"{one.get('pointer') or 'the input'}: {one.get('detail')}" for one in faults or () if isinstance(one, dict)
    ]
    return f"{where}{detail}{': ' if told else ''}{'; '.join(told)}"


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:  # a proxy's page
        return {}
    return document if isinstance(document, dict) else {}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "an answer without words"


def _seconds(text: str | None) -> float | None:
    """Those of a Retry-After, which may be a date (RFC 9110)."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None

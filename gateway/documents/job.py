"""What users see of a job: its status document, its data document."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from gateway.documents.members import names_among
from workers.wire.decode import loads
from workers.wire.encode import encode_exactly
from workers.wire.limits import NotJson

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from workers.stream import JobEvent, JobView

# Where the service's members are if the model returned one of the same name; with more underscores if it has this too.
JOB_MEMBER = "_job"

# Larger results are not read: this release and the ones before have written nothing but JSON of that size.
LARGE_RESULT_BYTES = 1_048_576
_EMPTY = re.compile(rb"\{[ \t\r\n]*\}")
_OWN_MEMBERS = "id|status|attempts|queued|started|finished|error|ahead|tag|priority|latency|input|warnings|_+job"
_UNREADABLE = b'{"warnings":[{"pointer":"/output","detail":"the stored result is no JSON, and is shown as a text"}]}'


def status_document(view: JobView) -> dict[str, Any]:
    """Status, attempts, times (RFC 3339, null until they are known), error, and at most how many jobs are ahead.

    Of a job that runs also its last progress, of a scheduled one when it is due, and the tag and the
    priority if it was pushed with them.
    """
    due = {} if view.due_ms is None else {"due": _time(view.due_ms)}
    return {**_status(view), "progress": view.progress, **due, **_pushed_with(view)}


def _pushed_with(view: JobView) -> dict[str, Any]:
    given = {"tag": view.options.tag, "priority": view.options.priority}
    return {name: value for name, value in given.items() if value is not None}


def _status(view: JobView) -> dict[str, Any]:
    return {
        "id": view.id,
        "status": view.status,
        "attempts": view.attempts,
        "queued": _time(view.queued_ms),
        "started": _time(view.started_ms),
        "finished": _time(view.finished_ms),
        "error": view.error,
        "ahead": view.ahead,
    }


def data_document(view: JobView) -> bytes | None:
    """What `predict` returned, with `id`, `latency` (seconds from push to finish), `input` and perhaps `warnings`.

    None if the job has no result. The result's own bytes are in it: no number is written anew.
    """
    return None if view.result is None else _beside_result(view, view.result, {"id": view.id})


def pushed_document(view: JobView) -> dict[str, Any] | bytes:
    """The answer to a push that waited: the status document, with the data document's members if there is a result."""
    return (
        status_document(view)
        if view.result is None
        else _beside_result(view, view.result, _status(view) | _pushed_with(view))
    )


def events_document(job_id: str, after: str, events: Sequence[JobEvent]) -> dict[str, Any]:
    """A page of events, and the place behind which the `next` page begins; null if there has been no event."""
    shown = [{"place": event.entry, "kind": event.kind, "value": _value_of(event)} for event in events]
    return {"id": job_id, "events": shown, "next": events[-1].entry if events else after or None}


def _value_of(event: JobEvent) -> Any:
    """Its own bytes: no number is written anew. Those that are no JSON, as this release writes none, as a text."""
    try:
        loads(event.value)
    except NotJson:
        return event.value.decode(errors="replace")
    return orjson.Fragment(event.value)


def _beside_result(view: JobView, result: bytes, service: dict[str, Any]) -> bytes:
    """The result's members, or `output` for one that is no object, and beside them the service's."""
    notes = view.notes
    own: bytes | memoryview
    try:
        names = _member_names(result)
    except NotJson:  # nothing that this release writes
        names, result, notes = None, orjson.dumps(result.decode(errors="replace")), _UNREADABLE
    if names is None:
        names, head, own = {"output"}, b'{"output":', result
    else:
        text = result.strip()
        head, own = b"{", b"" if _EMPTY.fullmatch(text) else memoryview(text)[1:-1]
    service = service | {"latency": ((view.finished_ms or view.queued_ms) - view.queued_ms) / 1000}
    if "input" not in names and b'"input":' not in notes:
        service["input"] = None
    if names.isdisjoint(service) and names.isdisjoint(("warnings", JOB_MEMBER)):
        more = notes[1:-1]
    else:
        service, more = _apart(service, loads(notes) if notes else {}, names), b""
    # Joined once, as a result may be large.
    comma, ours = b",", orjson.dumps(service)[1:-1]
    return b"".join((head, own, own and comma, more, more and comma, ours, b"}"))


def _member_names(result: bytes) -> Set[str] | None:
    """Names that the result's members have, of a large one only those that are also ours. None if it is no object.

    Raises NotJson for a small result that is none.
    """
    if len(result) > LARGE_RESULT_BYTES:
        if not result.lstrip().startswith(b"{"):
            return None
        if (names := names_among(_OWN_MEMBERS, result)) is not None:
            return names
    value = loads(result)
    return value.keys() if isinstance(value, dict) else None


def _apart(service: dict[str, Any], noted: dict[str, Any], taken: Set[str]) -> dict[str, Any]:
    """The service's members under names that are not taken: each that is free, and all of them in one object."""
    if "warnings" in noted:
        service = service | {"warnings": noted["warnings"]}
    holder = JOB_MEMBER
    while holder in taken:
        holder = "_" + holder
    apart = {name: member for name, member in service.items() if name not in taken}
    apart[holder] = {name: member for name, member in service.items() if name != "input"}
    if "input" in noted:
        apart["input"] = orjson.Fragment(encode_exactly(noted["input"]))
    return apart


def _time(ms: int | None) -> str | None:
    return None if ms is None else time_text(ms)


def time_text(ms: int) -> str:
    """A time as RFC 3339 has it, in UTC."""
    second, rest_ms = divmod(ms, 1000)
    return f"{_second_text(second)}.{rest_ms:03}Z"


@lru_cache(maxsize=16)
def _second_text(second: int) -> str:
    """A job's times are often of the same second: to write one anew takes as long as the rest of its document."""
    return datetime.fromtimestamp(second, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")

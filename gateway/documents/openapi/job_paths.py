"""One job in the API's description: its status, its result, what it tells, how it is cancelled and retried."""

from __future__ import annotations

from gateway.documents.job import JOB_MEMBER
from gateway.documents.openapi.parts import (
    BAD_QUERY,
    JOB_ID,
    JOB_LOCATION,
    NO_JOB,
    PLACE,
    UNAVAILABLE,
    Document,
    answer,
    object_of,
    problem,
    query,
    ref,
    with_events,
)
from workers.stream import Status
from workers.wire.limits import MAX_WARNINGS

WAIT_APPLIED: Document = {
    "Preference-Applied": {"schema": {"type": "string"}, "description": "the wait that `Prefer` was granted"}
}
_TIME = {"type": ["string", "null"], "format": "date-time"}
_STATUS_PROPERTIES: Document = {
    "id": JOB_ID,
    "status": ref("Status"),
    "attempts": {"type": "integer", "minimum": 0, "description": "how often a worker has started it"},
    "queued": {"type": "string", "format": "date-time", "description": "when it was pushed"},
    "started": {**_TIME, "description": "when its last attempt started"},
    "finished": {**_TIME, "description": "when it ended"},
    "error": {"anyOf": [ref("JobError"), {"type": "null"}]},
    "ahead": {
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "if queued: at most this many jobs are claimed before it",
    },
}
_PROGRESS = {
    "anyOf": [ref("JobProgress"), {"type": "null"}],
    "description": "of a job that runs: what its model has told last of its progress",
}
_SOME_STATUS_PROPERTIES: Document = {
    "due": {"type": "string", "format": "date-time", "description": "if scheduled: when it is due"},
    "tag": {"type": "string", "description": "if it was pushed with one"},
    "priority": {"enum": ["high", "low"], "description": "if it is not normal"},
}
_DATA_PROPERTIES: Document = {
    "id": JOB_ID,
    "latency": {"type": "number", "minimum": 0, "description": "seconds from push to finish"},
    "input": {"description": "as the model returned it; otherwise as it was pushed"},
}
_MORE_DATA_PROPERTIES: Document = {
    "output": {"description": "as the model returned it: a member of its object, or the value if it is no object"},
    "warnings": {"type": "array", "maxItems": MAX_WARNINGS + 1, "items": ref("ResultWarning")},
}
JOB_SCHEMAS: Document = {
    "Status": {"type": "string", "enum": [status.value for status in Status]},
    "JobError": object_of(
        {"type": {"type": "string"}, "message": {"type": "string"}},
        description="what the job failed of: the exception's class and its message",
    ),
    "ResultWarning": object_of(
        {
            "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into what the model returned"},
            "detail": {"type": "string", "description": "what was changed, such as NaN became null"},
        }
    ),
    "JobProgress": object_of(
        {
            "fraction": {"type": "number", "minimum": 0, "maximum": 1, "description": "how much is done"},
            "text": {"type": "string", "description": "what is being done, in the model's words"},
        }
    ),
    "Job": object_of(
        {**_STATUS_PROPERTIES, "progress": _PROGRESS, **_SOME_STATUS_PROPERTIES},
        [*_STATUS_PROPERTIES, "progress"],
        additionalProperties=False,
    ),
    "FinishedJob": object_of(
        {**_STATUS_PROPERTIES, **_DATA_PROPERTIES, **_MORE_DATA_PROPERTIES},
        [*_STATUS_PROPERTIES, *_DATA_PROPERTIES],
        additionalProperties=True,
        description="a job with its result: all members that the model returned, and the service's",
    ),
    "Result": object_of(
        {**_DATA_PROPERTIES, **_MORE_DATA_PROPERTIES},
        list(_DATA_PROPERTIES),
        additionalProperties=True,
        description="all members that the model returned, and the service's",
    ),
    "ResultApart": object_of(
        {JOB_MEMBER: {"description": "all of the service's members"}},
        additionalProperties=True,
        description="a result with members that are named as the service's: they are the model's, and the service's "
        f"are in `{JOB_MEMBER}` (which gets more underscores in front if the model returned that, too)",
    ),
    "Events": object_of(
        {
            "id": JOB_ID,
            "events": {
                "type": "array",
                "items": object_of(
                    {
                        "place": {"type": "string", "description": "RUN-NUMBER; a gap in the numbers was not kept"},
                        "kind": {"type": "string", "enum": ["begin", "progress", "log", "partial", "end"]},
                        "value": {"description": "by its kind: the attempt, a progress, a text, a value, a status"},
                    }
                ),
            },
            "next": {"type": ["string", "null"], "description": "the `after` of the next page"},
        },
        additionalProperties=False,
    ),
    "Changed": object_of({"id": JOB_ID, "status": ref("Status")}, additionalProperties=False),
}


def job_paths() -> Document:
    """The paths."""
    bad_wait = {"400": problem(f"a bad wait, or {BAD_QUERY}")}
    no_result = {"404": problem("no result: yet, ever, or any more; with the job's status where there is a job")}
    after = query("after", PLACE, "the place of an event: those behind it are wanted")
    return {
        "/status/{id}": {
            "get": {
                "operationId": "status",
                "summary": "A job's status",
                "responses": {
                    "200": answer("the job", ref("Job"), WAIT_APPLIED), **bad_wait, **NO_JOB, **UNAVAILABLE,
                },
            }
        },
        "/data/{id}": {
            "get": {
                "operationId": "data",
                "summary": "A job's result",
                "responses": {
                    "200": answer("the result", {"anyOf": [ref("ResultApart"), ref("Result")]}, WAIT_APPLIED),
                    **bad_wait, **no_result, **UNAVAILABLE,
                },
            }
        },
        "/events/{id}": {
            "get": {
                "operationId": "events",
                "summary": "What a job tells while it runs",
                "parameters": [after],
                "responses": {
                    "200": with_events(answer("a page of events, oldest first", ref("Events"))),
                    "400": problem(f"a bad `after` or Last-Event-ID, or {BAD_QUERY}"),
                    **NO_JOB, **UNAVAILABLE,
                },
            }
        },
        "/cancel/{id}": {
            "post": {
                "operationId": "cancel",
                "summary": "Cancel a job that has not ended",
                "responses": {
                    "200": answer("cancelled", ref("Changed")),
                    **NO_JOB, "409": problem("the job has ended"), **UNAVAILABLE,
                },
            }
        },
        "/retry/{id}": {
            "post": {
                "operationId": "retry",
                "summary": "Run a failed job again",
                "responses": {
                    "202": answer("queued again", ref("Changed"), JOB_LOCATION),
                    **NO_JOB, "409": problem("the job has not failed, or its input is gone"), **UNAVAILABLE,
                },
            }
        },
    }  # fmt: skip

"""Log lines of jobs in the API's description."""

from __future__ import annotations

from gateway.documents.openapi.parts import (
    BAD_QUERY,
    NO_JOB,
    PLACE,
    UNAVAILABLE,
    Document,
    answer,
    object_of,
    problem,
    query,
    ref,
)

LOG_SCHEMAS: Document = {
    "JobLogs": object_of(
        {
            "id": {"type": "string"},
            "lines": {
                "type": "array",
                "items": object_of({"place": PLACE, "text": {"type": "string"}}, additionalProperties=False),
                "description": "oldest first",
            },
            "next": {"type": ["string", "null"], "description": "the `after` of the next page; null: nothing was told"},
        },
        additionalProperties=False,
    )
}


def log_paths() -> Document:
    """The path."""
    return {
        "/jobs/{id}/logs": {
            "get": {
                "operationId": "job_logs",
                "summary": "Log lines of a job",
                "parameters": [query("after", PLACE, "the `next` of the page before")],
                "responses": {
                    "200": answer("a page of lines", ref("JobLogs")),
                    "400": problem(f"a bad after, or {BAD_QUERY}"),
                    **NO_JOB,
                    **UNAVAILABLE,
                },
            }
        }
    }

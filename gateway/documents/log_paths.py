"""Log lines of jobs in the API's description."""

from __future__ import annotations

from gateway.documents.parts import Document, answer, object_of, problem, ref

_PLACE = {"type": "string", "pattern": "^[0-9]{1,19}-[0-9]{1,19}$"}
LOG_SCHEMAS: Document = {
    "JobLogs": object_of(
        {
            "id": {"type": "string"},
            "lines": {
                "type": "array",
                "items": object_of({"place": _PLACE, "text": {"type": "string"}}, additionalProperties=False),
                "description": "oldest first",
            },
            "next": {"type": ["string", "null"], "description": "the `after` of the next page; null: nothing was told"},
        },
        additionalProperties=False,
    )
}


def log_paths(unavailable: Document) -> Document:
    """The path; `unavailable` are the answers of an outage."""
    after = {"name": "after", "in": "query", "description": "the `next` of the page before", "schema": _PLACE}
    return {
        "/jobs/{id}/logs": {
            "get": {
                "operationId": "job_logs",
                "summary": "Log lines of a job",
                "parameters": [after],
                "responses": {
                    "200": answer("a page of lines", ref("JobLogs")),
                    "400": problem("a bad after, or a query parameter that is unknown or given twice"),
                    "404": problem("there is no such job, or it is another key's"),
                    **unavailable,
                },
            }
        }
    }

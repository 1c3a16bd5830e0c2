"""Lists of jobs in the API's description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.documents.openapi.option_parameters import tag_schema
from gateway.documents.openapi.parts import (
    BAD_QUERY,
    NO_JOB,
    UNAVAILABLE,
    Document,
    answer,
    object_of,
    problem,
    query,
    ref,
)
from gateway.http.api_keys import NAME
from workers.stream import Status

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings

PAGE = 100
MOST_IN_A_PAGE = 1000
LIST_SCHEMAS: Document = {
    "JobList": object_of(
        {
            "jobs": {"type": "array", "items": ref("Job"), "description": "newest first"},
            "next": {"type": ["string", "null"], "description": "the `before` of the next page; null: there is none"},
        },
        additionalProperties=False,
    ),
    "Purged": object_of({"purged": {"type": "integer", "minimum": 0}}, additionalProperties=False),
}


def list_paths(settings: GatewaySettings) -> Document:
    """The paths."""
    status = query("status", {"type": "string", "enum": [one.value for one in Status]}, "jobs of this status")
    tag = query("tag", tag_schema(settings), "jobs with this tag")
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_IN_A_PAGE, "default": PAGE}
    place = {"type": "string", "pattern": "^[0-9]{1,19}-[0-9]{1,19}[.][0-9]{1,9}[.][0-9a-f]{0,32}$"}
    name = query("name", {"type": "string", "pattern": f"^{NAME.pattern}$"}, "whose jobs; for a key with admin")
    bad_query = {
        "400": problem(f"a bad status, limit, before or name, or {BAD_QUERY}"),
        "403": problem("a name, and the key has no admin"),
    }
    return {
        "/jobs": {
            "get": {
                "operationId": "list_jobs",
                "summary": "Jobs, newest first",
                "parameters": [
                    status, tag, query("before", place, "the `next` of the page before"),
                    query("limit", limit, "jobs of one page"), name,
                ],
                "responses": {"200": answer("a page", ref("JobList")), **bad_query, **UNAVAILABLE},
            }
        },
        "/jobs/{id}": {
            "delete": {
                "operationId": "delete_job",
                "summary": "End a job if it has not ended, and forget it",
                "responses": {"204": {"description": "forgotten"}, **NO_JOB, **UNAVAILABLE},
            }
        },
        "/jobs/purge": {
            "post": {
                "operationId": "purge_jobs",
                "summary": "Delete all jobs of a status",
                "parameters": [{**status, "required": True}, tag, name],
                "responses": {"200": answer("how many these were", ref("Purged")), **bad_query, **UNAVAILABLE},
            }
        },
    }  # fmt: skip

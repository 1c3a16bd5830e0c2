"""Lists of jobs in the API's description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.documents.option_parameters import tag_schema
from gateway.documents.parts import Document, answer, object_of, problem, ref
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


def list_paths(settings: GatewaySettings, unavailable: Document) -> Document:
    """The paths; `unavailable` are the answers of an outage."""
    status = _parameter("status", {"type": "string", "enum": [one.value for one in Status]}, "jobs of this status")
    tag = _parameter("tag", tag_schema(settings), "jobs with this tag")
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_IN_A_PAGE, "default": PAGE}
    place = {"type": "string", "pattern": "^[0-9]{1,19}-[0-9]{1,19}[.][0-9]{1,9}[.][0-9a-f]{0,32}$"}
    name = _parameter("name", {"type": "string", "pattern": f"^{NAME.pattern}$"}, "whose jobs; for a key with admin")
    bad_query = {
        "400": problem("a bad status, limit, before or name, or a query parameter that is unknown or given twice"),
        "403": problem("a name, and the key has no admin"),
    }
    return {
        "/jobs": {
            "get": {
                "operationId": "list_jobs",
                "summary": "Jobs, newest first",
                "parameters": [
                    status, tag, _parameter("before", place, "the `next` of the page before"),
                    _parameter("limit", limit, "jobs of one page"), name,
                ],
                "responses": {"200": answer("a page", ref("JobList")), **bad_query, **unavailable},
            }
        },
        "/jobs/{id}": {
            "delete": {
                "operationId": "delete_job",
                "summary": "End a job if it has not ended, and forget it",
                "responses": {
                    "204": {"description": "forgotten"},
                    "404": problem("there is no such job, or it is another key's"), **unavailable,
                },
            }
        },
        "/jobs/purge": {
            "post": {
                "operationId": "purge_jobs",
                "summary": "Delete all jobs of a status",
                "parameters": [{**status, "required": True}, tag, name],
                "responses": {"200": answer("how many these were", ref("Purged")), **bad_query, **unavailable},
            }
        },
    }  # fmt: skip


def _parameter(name: str, schema: Document, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}

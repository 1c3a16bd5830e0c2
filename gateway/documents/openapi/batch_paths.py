"""Batches in the API's description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.documents.openapi.parts import (
    BAD_QUERY,
    TEXT_HEADER,
    UNAVAILABLE,
    Document,
    answer,
    object_of,
    problem,
    ref,
)
from gateway.documents.openapi.push_paths import limit_problems, push_parameters
from gateway.http.bodies.content import LINES
from workers.stream import BATCH_ID_CHARS, GONE, Status
from workers.wire.limits import MAX_NESTING

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings

BATCH_ID: Document = {
    "type": "string",
    "description": f"{BATCH_ID_CHARS} hexadecimal digits; a job's id is this and its place, from 0, in 8 more",
    "example": "0" * BATCH_ID_CHARS,
}
_NUMBER: Document = {"type": "integer", "minimum": 0}
_STATUSES = [*(status.value for status in Status), GONE]
BATCH_SCHEMAS: Document = {
    "PushedBatch": object_of(
        {"id": BATCH_ID, "count": _NUMBER, "jobs": {"type": "array", "items": {"type": "string"}}},
        additionalProperties=False,
        description="accepted: the ids of the jobs in the order of their inputs",
    ),
    "Batch": object_of(
        {
            "id": BATCH_ID,
            "count": {**_NUMBER, "description": "of its jobs"},
            "queued": {"type": "string", "format": "date-time", "description": "when it was pushed"},
            "ended": {"type": "boolean", "description": "whether all of its jobs have ended"},
            "counts": object_of(
                dict.fromkeys(_STATUSES, _NUMBER),
                additionalProperties=False,
                description=f"how many jobs have each status; `{GONE}`: their records are not kept any more",
            ),
        },
        additionalProperties=False,
    ),
    "CancelledBatch": object_of({"id": BATCH_ID, "cancelled": _NUMBER}, additionalProperties=False),
}
_MISSING = {"404": problem("there is no such batch, or it is another key's")}
_LOCATION: Document = {"Location": {**TEXT_HEADER, "description": "path of the batch"}}


def batch_paths(settings: GatewaySettings) -> Document:
    """The paths."""
    bad_wait = {"400": problem(f"a bad wait, or {BAD_QUERY}")}
    lines = {"schema": {"type": "string", "description": "a JSON object a line: id, status, and result or error"}}
    events = {"schema": {"type": "string", "description": "server-sent events, one for each job that has ended"}}
    return {
        "/batches": {"post": _push(settings)},
        "/batches/{id}": {
            "get": {
                "operationId": "batch_status",
                "summary": "How far the jobs of a batch are",
                "responses": {"200": answer("the batch", ref("Batch")), **bad_wait, **_MISSING, **UNAVAILABLE},
            }
        },
        "/batches/{id}/results": {
            "get": {
                "operationId": "batch_results",
                "summary": "The results of a batch's jobs in their order, or as they end",
                "responses": {
                    "200": {
                        "description": "a line for each job, or an event",
                        "content": {LINES[0]: lines, "text/event-stream": events},
                    },
                    **bad_wait, **_MISSING, **UNAVAILABLE,
                },
            }
        },
        "/batches/{id}/cancel": {
            "post": {
                "operationId": "cancel_batch",
                "summary": "Cancel those jobs of a batch that have not ended",
                "responses": {
                    "200": answer("how many these were", ref("CancelledBatch")), **_MISSING, **UNAVAILABLE,
                },
            }
        },
    }  # fmt: skip


def _push(settings: GatewaySettings) -> Document:
    inputs = {
        "type": "array",
        "minItems": 1,
        "items": {"not": {"const": ""}},
    }
    return {
        "operationId": "push_batch",
        "summary": "Push many jobs",
        "description": "Takes many inputs, all of them or none. The options hold for each job.",
        "parameters": push_parameters(settings),
        "requestBody": {
            "required": True,
            "description": f"a JSON array of at most {settings.max_batch_jobs} inputs, or a line for each; "
            f"{settings.max_batch_bytes} bytes at most, "
            f"each input as a push has it: at most {settings.max_input_bytes} bytes, nested at most {MAX_NESTING} deep",
            "content": {
                "application/json": {"schema": inputs},
                LINES[0]: {"schema": {"type": "string"}, "example": '{"text": "one"}\n{"text": "two"}\n'},
            },
        },
        "responses": {
            "202": answer("accepted", ref("PushedBatch"), _LOCATION),
            "400": problem("no inputs, no JSON, a bad option or Idempotency-Key, or an unknown query parameter"),
            "404": problem("PUSH_FUNCTIONS does not name the model's function"),
            "408": problem("the body took too long"),
            "413": problem("the batch or one of its inputs is too large, or has too many inputs"),
            "415": problem("the body is neither JSON nor NDJSON by its content type"),
            "422": problem("an input does not fit the model, or the Idempotency-Key stands for another batch"),
            **limit_problems(settings),
            "503": {**UNAVAILABLE["503"], "description": "as for a push; also if the backlog has no room for all"},
        },
    }  # fmt: skip

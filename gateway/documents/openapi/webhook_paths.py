"""Webhooks in the API's description."""

from __future__ import annotations

from gateway.documents.openapi.parts import PLACE, UNAVAILABLE, Document, answer, object_of, problem, query, ref
from workers.outbound.addresses import MOST_URL_CHARS
from workers.stream import WEBHOOK_EVENTS

_ID = {"type": "string", "description": "the delivery's `webhook-id`"}
_FAILED = object_of(
    {
        "place": PLACE,
        "id": _ID,
        "job": {"type": "string"},
        "event": {"type": "string", "enum": list(WEBHOOK_EVENTS)},
        "url": {"type": "string"},
        "attempts": {"type": "integer"},
        "error": ref("JobError"),
    }
)
_PAGE = object_of(
    {
        "failed": {"type": "array", "items": _FAILED},
        "next": {"type": ["string", "null"], "description": "the `after` of the next page"},
    }
)
PUSH_PARAMETERS: list[Document] = [
    query(
        "webhook",
        {"type": "string", "format": "uri", "maxLength": MOST_URL_CHARS},
        "a URL that is told when the job has ended, signed by the scheme of Standard Webhooks",
    ),
    query(
        "webhook_events",
        {"type": "string"},
        f"comma-separated: {', '.join(WEBHOOK_EVENTS)}; the last three by default",
    ),
]


def webhook_paths() -> Document:
    """The paths."""
    secrets = object_of({"secrets": {"type": "array", "items": {"type": "string"}}})
    after = query("after", PLACE, "the `next` of a page before")
    place = {"name": "place", "in": "path", "required": True, "schema": PLACE}
    return {
        "/webhooks/secrets": {
            "get": {
                "operationId": "secrets",
                "summary": "The secrets that verify your webhooks, the one to use first",
                "responses": {"200": answer("the secrets", secrets), **UNAVAILABLE},
            }
        },
        "/webhooks/failed": {
            "get": {
                "operationId": "failed",
                "summary": "Your webhooks that were given up, oldest first",
                "parameters": [after],
                "responses": {
                    "200": answer("a page", _PAGE),
                    "400": problem("a bad `after` or an unknown parameter"),
                    **UNAVAILABLE,
                },
            }
        },
        "/webhooks/failed/{place}/resend": {
            "post": {
                "operationId": "resend",
                "summary": "Send a webhook again that was given up",
                "parameters": [place],
                "responses": {
                    "202": answer("it will be sent", object_of({"id": _ID})),
                    "404": problem("there is no such webhook"),
                    **UNAVAILABLE,
                },
            }
        },
    }

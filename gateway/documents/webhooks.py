"""What the description of the gateway says of webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.outbound.addresses import MOST_URL_CHARS
from workers.stream import WEBHOOK_EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    Document = dict[str, Any]

_PLACE = {"type": "string", "pattern": "^[0-9]{1,19}-[0-9]{1,19}$"}
_SECRETS = {"type": "object", "properties": {"secrets": {"type": "array", "items": {"type": "string"}}}}
_ID = {"type": "string", "description": "the delivery's `webhook-id`"}
_FAILED = {
    "type": "object",
    "properties": {
        "place": _PLACE,
        "id": _ID,
        "job": {"type": "string"},
        "event": {"type": "string", "enum": list(WEBHOOK_EVENTS)},
        "url": {"type": "string"},
        "attempts": {"type": "integer"},
        "error": {"$ref": "#/components/schemas/JobError"},
    },
    "required": ["place", "id", "job", "event", "url", "attempts", "error"],
}
_PAGE = {
    "type": "object",
    "properties": {
        "failed": {"type": "array", "items": _FAILED},
        "next": {"type": ["string", "null"], "description": "the `after` of the next page"},
    },
    "required": ["failed", "next"],
}
PUSH_PARAMETERS: list[Document] = [
    {
        "name": "webhook",
        "in": "query",
        "description": "a URL that is told when the job has ended, signed by the scheme of Standard Webhooks",
        "schema": {"type": "string", "format": "uri", "maxLength": MOST_URL_CHARS},
    },
    {
        "name": "webhook_events",
        "in": "query",
        "description": f"comma-separated: {', '.join(WEBHOOK_EVENTS)}; the last three by default",
        "schema": {"type": "string"},
    },
]


def webhook_paths(answer: Callable[[str, Document], Document], problem: Callable[[str], Document]) -> Document:
    """The operations, by path; `answer` and `problem` make a response with a description."""
    after = {"name": "after", "in": "query", "description": "the `next` of a page before", "schema": _PLACE}
    place = {"name": "place", "in": "path", "required": True, "schema": _PLACE}
    resent = {"type": "object", "properties": {"id": _ID}, "required": ["id"]}
    return {
        "/webhooks/secrets": {
            "get": {
                "operationId": "secrets",
                "summary": "The secrets that verify your webhooks, the one to use first",
                "responses": {"200": answer("the secrets", {**_SECRETS, "required": ["secrets"]})},
            }
        },
        "/webhooks/failed": {
            "get": {
                "operationId": "failed",
                "summary": "Your webhooks that were given up, oldest first",
                "parameters": [after],
                "responses": {"200": answer("a page", _PAGE), "400": problem("a bad `after` or an unknown parameter")},
            }
        },
        "/webhooks/failed/{place}/resend": {
            "post": {
                "operationId": "resend",
                "summary": "Send a webhook again that was given up",
                "parameters": [place],
                "responses": {"202": answer("it will be sent", resent), "404": problem("there is no such webhook")},
            }
        },
    }

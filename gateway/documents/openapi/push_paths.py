"""Pushes of one job in the API's description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.documents.openapi.job_paths import WAIT_APPLIED
from gateway.documents.openapi.option_parameters import option_parameters
from gateway.documents.openapi.parts import (
    BAD_QUERY,
    JOB_ID,
    JOB_LOCATION,
    RETRY_AFTER,
    UNAVAILABLE,
    Document,
    answer,
    object_of,
    problem,
    query,
    ref,
    with_events,
)
from gateway.documents.openapi.webhook_paths import PUSH_PARAMETERS
from gateway.http.idempotency import MAX_KEY_CHARS
from workers.wire.limits import MAX_INT_DIGITS, MAX_NESTING

if TYPE_CHECKING:
    from gateway.settings import GatewaySettings

PUSH_SCHEMAS: Document = {"Pushed": object_of({"id": JOB_ID}, additionalProperties=False, description="accepted")}
# A body of any other content type is a file, too.
_FILES: Document = {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}},
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[a-z]+$"},
            "additionalProperties": {"type": "string"},
            "description": "the members of an input: texts, files, and JSON in parts that are application/json",
        }
    },
}


def push_paths(settings: GatewaySettings) -> Document:
    """The paths."""
    push = _push(settings)
    return {"/push": {"post": push}, "/push/{function}": {"post": _push_function(settings, push)}}


def push_parameters(settings: GatewaySettings) -> list[dict[str, Any]]:
    """What a push takes beside its input, of one job or of a batch."""
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "the same key, input and options stand for the same job",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_KEY_CHARS,
            "pattern": "^[!-~]([ -~]*[!-~])?$",
        },
    }
    return [key, *option_parameters(settings), *(PUSH_PARAMETERS if settings.webhook_secret_list() else [])]


def limit_problems(settings: GatewaySettings) -> Document:
    """The answers to a push that is beyond a limit of its key."""
    if not settings.api_keys_file:
        return {}
    return {
        "403": problem("the priority is higher than the key may ask for"),
        "429": problem("a limit of the key's name is reached", RETRY_AFTER),
    }


def _push(settings: GatewaySettings) -> Document:
    document: Document = {
        "operationId": "push",
        "summary": "Push a job",
        "description": "Takes an input: a text in the query, or any JSON value as the body, and not both.",
        "parameters": [
            query("input", {"type": "string", "minLength": 1}, "the input as a text"),
            *push_parameters(settings),
        ],
        "requestBody": {
            "required": False,
            "description": f"any JSON value but an empty string, {settings.max_input_bytes} bytes at most, nested at "
            f"most {MAX_NESTING} deep, with integers of at most {MAX_INT_DIGITS} digits",
            "content": {
                "application/json": {"schema": {"not": {"const": ""}}}, **(_FILES if settings.object_store else {}),
            },
        },
        "responses": {
            # In this order, as in the result's: a generated client takes the first that has all that it needs.
            "200": with_events(
                answer(
                    "the job has ended within the wait",
                    {"anyOf": [ref("ResultApart"), ref("FinishedJob"), ref("Job")]},
                    {**JOB_LOCATION, **WAIT_APPLIED},
                )
            ),
            "202": answer(
                "accepted: after a wait the job's status, otherwise its id",
                {"anyOf": [ref("Job"), ref("Pushed")]},
                {**JOB_LOCATION, **WAIT_APPLIED},
            ),
            "400": problem(f"no input, two inputs, no JSON, a bad wait, option or Idempotency-Key, or {BAD_QUERY}"),
            "408": problem("the body took too long"),
            "413": problem("the input is too large"),
            "415": problem("the body is not JSON by its content type"),
            "404": problem("PUSH_FUNCTIONS does not name the model's function"),
            "422": problem(
                "the input does not fit the model, or the Idempotency-Key was used with another input or other options"
            ),
            **limit_problems(settings),
            "431": problem("the head is too large: an input in the query may be better sent as a body"),
            **UNAVAILABLE,
        },
    }  # fmt: skip
    for status in ("200", "202"):
        document["responses"][status]["links"] = {
            operation: {"operationId": operation, "parameters": {"id": "$response.body#/id"}}
            for operation in ("status", "data", "cancel", "retry")
        }
    return document


def _push_function(settings: GatewaySettings, push: Document) -> Document:
    """As a push, but for the function in the path, and with arguments for an input."""
    arguments: Document = {
        "args": {"type": "array", "items": {}, "description": "positional arguments"},
        "kwargs": {"type": "object", "description": "arguments by name"},
    }
    function: Document = {
        "name": "function",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "enum": sorted(settings.push_function_set())},
    }
    return {
        **push,
        "operationId": "push_function",
        "summary": "Push a job of a function",
        "description": "Takes the arguments of a function that PUSH_FUNCTIONS names.",
        "parameters": [function, *push_parameters(settings)],
        "requestBody": {
            **push["requestBody"],
            "content": {"application/json": {"schema": object_of(arguments, [], additionalProperties=False)}},
        },
        "responses": {**push["responses"], "404": problem("no function of that name may be pushed")},
    }

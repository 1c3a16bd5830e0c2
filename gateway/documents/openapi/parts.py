"""What the API's description is made of, and what several of its paths share."""

from __future__ import annotations

from typing import Any

from gateway.schemas.faults import MOST_FAULTS

Document = dict[str, Any]

JOB_ID: Document = {"type": "string", "description": "32 hexadecimal digits, 128 random bits", "example": "0" * 32}
PLACE: Document = {"type": "string", "pattern": "^[0-9]{1,19}-[0-9]{1,19}$"}
TEXT_HEADER: Document = {"schema": {"type": "string"}, "required": True}
RETRY_AFTER: Document = {
    "Retry-After": {"schema": {"type": "integer"}, "required": True, "description": "seconds"},
}
JOB_LOCATION: Document = {"Location": {**TEXT_HEADER, "description": "path of the job's status"}}
BAD_QUERY = "a query parameter that is unknown or given twice"


def object_of(properties: Document, required: list[str] | None = None, **more: Any) -> Document:
    """The schema of an object; all properties are required unless a list says which."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    } | more


def ref(name: str) -> Document:
    """One of the components' schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def query(name: str, schema: Document, description: str) -> Document:
    """A parameter of the query."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def answer(description: str, schema: Document, headers: Document | None = None) -> Document:
    """An answer with JSON."""
    return {
        "description": description,
        "headers": headers or {},
        "content": {"application/json": {"schema": schema}},
    }


def with_events(response: Document) -> Document:
    """The same answer, or server-sent events if they are asked for."""
    events = {
        "schema": {
            "type": "string",
            "description": "server-sent events, up to the job's end; `cut` ends an answer before it",
        }
    }
    return response | {"content": response["content"] | {"text/event-stream": events}}


def problem(description: str, headers: Document | None = None) -> Document:
    """An answer with a problem document."""
    return {
        "description": description,
        "headers": headers or {},
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }


UNAVAILABLE: Document = {"503": problem("the job stream can't be reached or takes no more now", RETRY_AFTER)}
NO_JOB: Document = {"404": problem("there is no such job, or it is another key's")}
PROBLEM_SCHEMAS: Document = {
    "InputFault": object_of(
        {
            "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into the input"},
            "detail": {"type": "string", "description": "what is wrong there, in one sentence"},
        }
    ),
    "Problem": object_of(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "what is wrong, in one sentence"},
            "id": JOB_ID,
            "job_status": ref("Status"),
            "error": {"anyOf": [ref("JobError"), {"type": "null"}]},
            "index": {"type": "integer", "minimum": 0, "description": "of a batch: which input is wrong, from 0"},
            "parameters": {
                "type": "array",
                "items": {"type": "string"},
                "description": "of a bad query: the names of its parameters that are wrong",
            },
            "errors": {
                "type": "array",
                "maxItems": MOST_FAULTS,
                "items": ref("InputFault"),
                "description": "of an input that does not fit the model: its first faults",
            },
        },
        ["type", "title", "status", "detail"],
        description="RFC 9457",
    ),
}

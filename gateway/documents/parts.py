"""What the API's description is made of."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


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


def answer(description: str, schema: Document, headers: Document | None = None) -> Document:
    """An answer with JSON."""
    return {
        "description": description,
        "headers": headers or {},
        "content": {"application/json": {"schema": schema}},
    }


def problem(description: str, headers: Document | None = None) -> Document:
    """An answer with a problem document."""
    return {
        "description": description,
        "headers": headers or {},
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }

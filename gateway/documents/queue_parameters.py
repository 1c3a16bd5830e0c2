"""What the description of the gateway says of several queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Document = dict[str, Any]

_OF_A_QUEUE = ("/push", "/batches", "/webhooks", "/openapi.json", "/jobs", "/uploads", "/history", "/dead-letters")


def is_of_a_queue(path: str) -> bool:
    """Whether requests of a path take `?queue=`: all others name a job or a batch, or are of the process."""
    return path.startswith(_OF_A_QUEUE) and "{id}" not in path


def with_queues(paths: Document, queues: Sequence[str]) -> Document:
    """The paths of a gateway with several queues."""
    schema = {"type": "string", "enum": list(queues)}
    query = {"name": "queue", "in": "query", "description": "the first by default", "schema": schema}
    in_path = {"name": "queue", "in": "path", "required": True, "schema": schema}
    push = paths["/push"]["post"]
    named = {**push, "operationId": "push_to_queue", "parameters": [*push["parameters"], in_path]}
    described = {
        path: {method: _with(operation, query) for method, operation in item.items()} if is_of_a_queue(path) else item
        for path, item in paths.items()
    }
    return {**described, "/queues/{queue}/push": {"post": named}}


def _with(operation: Document, parameter: Document) -> Document:
    return {**operation, "parameters": [*operation.get("parameters", []), parameter]}

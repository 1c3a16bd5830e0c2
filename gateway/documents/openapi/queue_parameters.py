"""Several queues in the API's description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.documents.openapi.parts import query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.documents.openapi.parts import Document

_OF_A_QUEUE = ("/push", "/batches", "/webhooks", "/openapi.json", "/jobs", "/uploads", "/history", "/dead-letters")


def is_of_a_queue(path: str) -> bool:
    """Whether requests of a path take `?queue=`: all others name a job or a batch, or are of the process."""
    return path.startswith(_OF_A_QUEUE) and "{id}" not in path


def with_queues(paths: Document, queues: Sequence[str]) -> Document:
    """The paths of a gateway with several queues."""
    schema = {"type": "string", "enum": list(queues)}
    chosen = query("queue", schema, "the first by default")
    in_path = {"name": "queue", "in": "path", "required": True, "schema": schema}
    push = paths["/push"]["post"]
    named = {**push, "operationId": "push_to_queue", "parameters": [*push["parameters"], in_path]}
    described = {
        path: {method: _with(operation, chosen) for method, operation in item.items()} if is_of_a_queue(path) else item
        for path, item in paths.items()
    }
    return {**described, "/queues/{queue}/push": {"post": named}}


def _with(operation: Document, parameter: Document) -> Document:
    return {**operation, "parameters": [*operation.get("parameters", []), parameter]}

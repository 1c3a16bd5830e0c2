"""The OpenAPI 3.1 description of the gateway, as its settings make it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.documents.openapi.batch_paths import BATCH_ID, BATCH_SCHEMAS, batch_paths
from gateway.documents.openapi.file_paths import FILE_SCHEMAS, file_paths
from gateway.documents.openapi.job_paths import JOB_SCHEMAS, job_paths
from gateway.documents.openapi.list_paths import LIST_SCHEMAS, list_paths
from gateway.documents.openapi.log_paths import LOG_SCHEMAS, log_paths
from gateway.documents.openapi.page_paths import PAGE_SCHEMAS, page_paths
from gateway.documents.openapi.parts import (
    BAD_QUERY,
    JOB_ID,
    PROBLEM_SCHEMAS,
    TEXT_HEADER,
    UNAVAILABLE,
    answer,
    object_of,
    problem,
    query,
    ref,
)
from gateway.documents.openapi.push_paths import PUSH_SCHEMAS, push_paths
from gateway.documents.openapi.queue_parameters import with_queues
from gateway.documents.openapi.webhook_paths import webhook_paths
from workers import __version__

if TYPE_CHECKING:
    from gateway.documents.openapi.parts import Document
    from gateway.settings import GatewaySettings

_SCHEMAS: Document = {
    **BATCH_SCHEMAS,
    **LIST_SCHEMAS,
    **LOG_SCHEMAS,
    **PAGE_SCHEMAS,
    **JOB_SCHEMAS,
    **PUSH_SCHEMAS,
    **FILE_SCHEMAS,
    **PROBLEM_SCHEMAS,
    "Health": object_of({"status": {"const": "ok"}}, additionalProperties=False),
}
_WITH_WAIT = ("/push", "/push/{function}", "/status/{id}", "/data/{id}", "/batches/{id}", "/batches/{id}/results")


def describe(settings: GatewaySettings) -> Document:
    """The document. With API keys configured, it asks for them; its bounds are those of `settings`.

    `servers` is a path alone: a client takes scheme and host from where it got the document.
    """
    jobs = {
        **push_paths(settings),
        **job_paths(),
        **file_paths(),
        **list_paths(settings),
        **log_paths(),
        **page_paths(),
        **batch_paths(settings),
    }
    _add_shared_parameters(jobs, settings.max_wait_s)
    webhooks = webhook_paths() if settings.webhook_secret_list() else {}
    machines = _machine_paths(settings)
    for tag, tagged in (("jobs", jobs), ("webhooks", webhooks), ("machines", machines)):
        for path, operation in _operations(tagged):
            operation["tags"] = [tag]
            operation["responses"].setdefault("400", problem(BAD_QUERY))
            if settings.has_keys and (tag != "machines" or path in ("/metrics", "/openapi.json")):
                operation["security"] = [{"key": []}]
                operation["responses"]["401"] = problem(
                    "no API key, or an unknown one", {"WWW-Authenticate": TEXT_HEADER}
                )
    components: Document = {"schemas": _SCHEMAS}
    if settings.has_keys:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    paths = {**jobs, **webhooks, **machines}
    queues = settings.queue_list()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leadtime",
            "version": __version__,
            "description": "Push an input, get an id, ask for its status, fetch its result. Errors: RFC 9457.",
        },
        **({"servers": [{"url": settings.root_path}]} if settings.root_path else {}),
        "paths": with_queues(paths, queues) if len(queues) > 1 else paths,
        "components": components,
    }


def _add_shared_parameters(paths: Document, most_wait_s: float) -> None:
    """Adds the id to the paths that have one, and the wait to those that may wait for a job's end."""
    wait = query(
        "wait",
        {"type": "number", "minimum": 0, "maximum": most_wait_s},
        "answer once the job has ended, or after this many seconds with what there is",
    )
    prefer = {
        "name": "Prefer",
        "in": "header",
        "description": f"`wait=N` (RFC 7240) is `?wait=N`, cut to {most_wait_s:g}; anything else is ignored",
        "schema": {"type": "string"},
        "example": "wait=10",
    }
    for path, operation in _operations(paths):
        parameters: list[dict[str, Any]] = operation.setdefault("parameters", [])
        if "{id}" in path and not path.startswith("/uploads"):
            schema = BATCH_ID if path.startswith("/batches") else JOB_ID
            parameters.append({"name": "id", "in": "path", "required": True, "schema": schema})
        if path in _WITH_WAIT:
            parameters += (wait, prefer)


def _machine_paths(settings: GatewaySettings) -> Document:
    health = answer("yes", ref("Health"))
    text = {"description": "metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
    metrics = {"get": {"operationId": "metrics", "summary": "Metrics for Prometheus", "responses": {"200": text}}}
    return {
        **({} if settings.metrics_port else {"/metrics": metrics}),
        "/healthz": {"get": {"operationId": "healthz", "summary": "The process answers", "responses": {"200": health}}},
        "/readyz": {
            "get": {
                "operationId": "readyz",
                "summary": "The job stream can be reached",
                "responses": {"200": health, **UNAVAILABLE},
            }
        },
        "/openapi.json": {
            "get": {
                "operationId": "openapi",
                "summary": "This document",
                "responses": {"200": answer("OpenAPI 3.1", {"type": "object"})},
            }
        },
    }


def _operations(paths: Document) -> list[tuple[str, Document]]:
    return [(path, operation) for path, item in paths.items() for operation in item.values()]

"""The OpenAPI 3.1 description of the gateway, as its settings make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.documents.batch_paths import BATCH_ID, BATCH_SCHEMAS, batch_paths
from gateway.documents.job import JOB_MEMBER
from gateway.documents.list_paths import LIST_SCHEMAS, list_paths
from gateway.documents.log_paths import LOG_SCHEMAS, log_paths
from gateway.documents.option_parameters import option_parameters
from gateway.documents.page_paths import PAGE_SCHEMAS, page_paths
from gateway.documents.parts import answer as _answer
from gateway.documents.parts import object_of as _object
from gateway.documents.parts import problem as _problem
from gateway.documents.parts import ref as _ref
from gateway.documents.queue_parameters import with_queues
from gateway.documents.webhooks import PUSH_PARAMETERS, webhook_paths
from gateway.http.idempotency import MAX_KEY_CHARS
from gateway.schemas.faults import MOST_FAULTS
from workers import __version__
from workers.objects.names import NAME, UPLOAD_ID
from workers.stream import Status
from workers.wire.limits import MAX_INT_DIGITS, MAX_NESTING, MAX_WARNINGS

if TYPE_CHECKING:
    from gateway.documents.parts import Document
    from gateway.settings import GatewaySettings

_TIME = {"type": ["string", "null"], "format": "date-time"}
_STATUS = {"$ref": "#/components/schemas/Status"}
_ID = {"type": "string", "description": "32 hexadecimal digits, 128 random bits", "example": "0" * 32}


_ERROR = _object(
    {"type": {"type": "string"}, "message": {"type": "string"}},
    description="what the job failed of: the exception's class and its message",
)
_STATUS_PROPERTIES: Document = {
    "id": _ID,
    "status": _STATUS,
    "attempts": {"type": "integer", "minimum": 0, "description": "how often a worker has started it"},
    "queued": {"type": "string", "format": "date-time", "description": "when it was pushed"},
    "started": {**_TIME, "description": "when its last attempt started"},
    "finished": {**_TIME, "description": "when it ended"},
    "error": {"anyOf": [{"$ref": "#/components/schemas/JobError"}, {"type": "null"}]},
    "ahead": {
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "if queued: at most this many jobs are claimed before it",
    },
}
_PROGRESS = {
    "anyOf": [{"$ref": "#/components/schemas/JobProgress"}, {"type": "null"}],
    "description": "of a job that runs: what its model has told last of its progress",
}
_SOME_STATUS_PROPERTIES: Document = {
    "due": {"type": "string", "format": "date-time", "description": "if scheduled: when it is due"},
    "tag": {"type": "string", "description": "if it was pushed with one"},
    "priority": {"enum": ["high", "low"], "description": "if it is not normal"},
}
_DATA_PROPERTIES: Document = {
    "id": _ID,
    "latency": {"type": "number", "minimum": 0, "description": "seconds from push to finish"},
    "input": {"description": "as the model returned it; otherwise as it was pushed"},
}
_MORE_DATA_PROPERTIES: Document = {
    "output": {"description": "as the model returned it: a member of its object, or the value if it is no object"},
    "warnings": {
        "type": "array",
        "maxItems": MAX_WARNINGS + 1,
        "items": {"$ref": "#/components/schemas/ResultWarning"},
    },
}
_UPLOADED = _object({"url": {"type": "string"}}, description="what stands for the file in an input")
_SCHEMAS: Document = {
    **BATCH_SCHEMAS,
    **LIST_SCHEMAS,
    **LOG_SCHEMAS,
    **PAGE_SCHEMAS,
    "Status": {"type": "string", "enum": [status.value for status in Status]},
    "JobError": _ERROR,
    "ResultWarning": _object(
        {
            "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into what the model returned"},
            "detail": {"type": "string", "description": "what was changed, such as NaN became null"},
        }
    ),
    "InputFault": _object(
        {
            "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into the input"},
            "detail": {"type": "string", "description": "what is wrong there, in one sentence"},
        }
    ),
    "Pushed": _object({"id": _ID}, additionalProperties=False, description="accepted"),
    "JobProgress": _object(
        {
            "fraction": {"type": "number", "minimum": 0, "maximum": 1, "description": "how much is done"},
            "text": {"type": "string", "description": "what is being done, in the model's words"},
        }
    ),
    "Job": _object(
        {**_STATUS_PROPERTIES, "progress": _PROGRESS, **_SOME_STATUS_PROPERTIES},
        [*_STATUS_PROPERTIES, "progress"],
        additionalProperties=False,
    ),
    "FinishedJob": _object(
        {**_STATUS_PROPERTIES, **_DATA_PROPERTIES, **_MORE_DATA_PROPERTIES},
        [*_STATUS_PROPERTIES, *_DATA_PROPERTIES],
        additionalProperties=True,
        description="a job with its result: all members that the model returned, and the service's",
    ),
    "Result": _object(
        {**_DATA_PROPERTIES, **_MORE_DATA_PROPERTIES},
        list(_DATA_PROPERTIES),
        additionalProperties=True,
        description="all members that the model returned, and the service's",
    ),
    "ResultApart": _object(
        {JOB_MEMBER: {"description": "all of the service's members"}},
        additionalProperties=True,
        description="a result with members that are named as the service's: they are the model's, and the service's "
        f"are in `{JOB_MEMBER}` (which gets more underscores in front if the model returned that, too)",
    ),
    "Events": _object(
        {
            "id": _ID,
            "events": {
                "type": "array",
                "items": _object(
                    {
                        "place": {"type": "string", "description": "RUN-NUMBER; a gap in the numbers was not kept"},
                        "kind": {"type": "string", "enum": ["begin", "progress", "log", "partial", "end"]},
                        "value": {"description": "by its kind: the attempt, a progress, a text, a value, a status"},
                    }
                ),
            },
            "next": {"type": ["string", "null"], "description": "the `after` of the next page"},
        },
        additionalProperties=False,
    ),
    "Upload": _object(
        {
            "file": _UPLOADED,
            "put": {"type": "string", "description": "where to PUT the bytes: a path of this API, or a URL"},
            "expires_s": {"type": "integer", "minimum": 0, "description": "how long that will do"},
        },
        additionalProperties=False,
    ),
    "Changed": _object({"id": _ID, "status": _STATUS}, additionalProperties=False),
    "Health": _object({"status": {"const": "ok"}}, additionalProperties=False),
    "Problem": _object(
        {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "what is wrong, in one sentence"},
            "id": _ID,
            "job_status": _STATUS,
            "error": {"anyOf": [{"$ref": "#/components/schemas/JobError"}, {"type": "null"}]},
            "index": {"type": "integer", "minimum": 0, "description": "of a batch: which input is wrong, from 0"},
            "parameters": {
                "type": "array",
                "items": {"type": "string"},
                "description": "of a bad query: the names of its parameters that are wrong",
            },
            "errors": {
                "type": "array",
                "maxItems": MOST_FAULTS,
                "items": {"$ref": "#/components/schemas/InputFault"},
                "description": "of an input that does not fit the model: its first faults",
            },
        },
        ["type", "title", "status", "detail"],
        description="RFC 9457",
    ),
}
_APPLIED = {"Preference-Applied": {"schema": {"type": "string"}, "description": "the wait that `Prefer` was granted"}}
_LOCATION = {"Location": {"schema": {"type": "string"}, "required": True, "description": "path of the job's status"}}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}}
_TEXT_HEADER = {"schema": {"type": "string"}, "required": True}
_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "required": True, "description": "seconds"}}


def _with_events(answer: Document) -> Document:
    """The same, or server-sent events if they are asked for."""
    events = {
        "schema": {
            "type": "string",
            "description": "server-sent events, up to the job's end; `cut` ends an answer before it",
        }
    }
    return answer | {"content": answer["content"] | {"text/event-stream": events}}


def _file(description: str, headers: Document) -> Document:
    return {
        "description": description,
        "headers": {"ETag": _TEXT_HEADER, "Content-Disposition": _TEXT_HEADER, **headers},
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }


def _links() -> Document:
    return {
        operation: {"operationId": operation, "parameters": {"id": "$response.body#/id"}}
        for operation in ("status", "data", "cancel", "retry")
    }


_AWAY = {"503": _problem("the job stream can't be reached or takes no more now", _RETRY_AFTER)}
_LIMITED = {
    "403": _problem("the priority is higher than the key may ask for"),
    "429": _problem("a limit of the key's name is reached", _RETRY_AFTER),
}
_TOO_MANY_UPLOADS = _problem("the key has uploaded as much as it may in an hour", _RETRY_AFTER)
_BAD_QUERY = "a query parameter that is unknown or given twice"
_WITHOUT_WAIT = (
    "/events/{id}", "/cancel/{id}", "/retry/{id}", "/batches", "/batches/{id}/cancel", "/files/{id}/{name}",
    "/uploads", "/uploads/{id}", "/jobs", "/jobs/{id}", "/jobs/{id}/logs", "/jobs/purge",
    "/overview", "/history", "/dead-letters", "/dead-letters/requeue", "/inputs/{id}",
)  # fmt: skip
_BAD_WAIT = {"400": _problem(f"a bad wait, or {_BAD_QUERY}")}


def _parameters(most_s: float) -> tuple[Document, Document]:
    wait = {
        "name": "wait",
        "in": "query",
        "description": "answer once the job has ended, or after this many seconds with what there is",
        "schema": {"type": "number", "minimum": 0, "maximum": most_s},
    }
    prefer = {
        "name": "Prefer",
        "in": "header",
        "description": f"`wait=N` (RFC 7240) is `?wait=N`, cut to {most_s:g}; anything else is ignored",
        "schema": {"type": "string"},
        "example": "wait=10",
    }
    return wait, prefer


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


def _push(settings: GatewaySettings) -> Document:
    has_store = bool(settings.object_store)
    document: Document = {
        "operationId": "push",
        "summary": "Push a job",
        "description": "Takes an input: a text in the query, or any JSON value as the body, and not both.",
        "parameters": [
            {
                "name": "input",
                "in": "query",
                "description": "the input as a text",
                "schema": {"type": "string", "minLength": 1},
            },
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "the same key, input and options stand for the same job",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_KEY_CHARS,
                    "pattern": "^[!-~]([ -~]*[!-~])?$",
                },
            },
            *option_parameters(settings),
        ],
        "requestBody": {
            "required": False,
            "description": f"any JSON value but an empty string, {settings.max_input_bytes} bytes at most, nested at "
            f"most {MAX_NESTING} deep, with integers of at most {MAX_INT_DIGITS} digits",
            "content": {"application/json": {"schema": {"not": {"const": ""}}}, **(_FILES if has_store else {})},
        },
        "responses": {
            # In this order, as in the result's: a generated client takes the first that has all that it needs.
            "200": _with_events(
                _answer(
                    "the job has ended within the wait",
                    {"anyOf": [_ref("ResultApart"), _ref("FinishedJob"), _ref("Job")]},
                    {**_LOCATION, **_APPLIED},
                )
            ),
            "202": _answer(
                "accepted: after a wait the job's status, otherwise its id",
                {"anyOf": [_ref("Job"), _ref("Pushed")]},
                {**_LOCATION, **_APPLIED},
            ),
            "400": _problem(f"no input, two inputs, no JSON, a bad wait, option or Idempotency-Key, or {_BAD_QUERY}"),
            "408": _problem("the body took too long"),
            "413": _problem("the input is too large"),
            "415": _problem("the body is not JSON by its content type"),
            "404": _problem("PUSH_FUNCTIONS does not name the model's function"),
            "422": _problem(
                "the input does not fit the model, or the Idempotency-Key was used with another input or other options"
            ),
            **(_LIMITED if settings.api_keys_file else {}),
            "431": _problem("the head is too large: an input in the query may be better sent as a body"),
            **_AWAY,
        },
    }
    for status in ("200", "202"):
        document["responses"][status]["links"] = _links()
    return document


def _push_function(settings: GatewaySettings, push: Document) -> Document:
    """As a push, but for the function in the path, and with arguments for an input."""
    arguments: Document = {
        "args": {"type": "array", "items": {}, "description": "positional arguments"},
        "kwargs": {"type": "object", "description": "arguments by name"},
    }
    return {
        **push,
        "operationId": "push_function",
        "summary": "Push a job of a function",
        "description": "Takes the arguments of a function that PUSH_FUNCTIONS names.",
        "parameters": [
            {
                "name": "function",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "enum": sorted(settings.push_function_set())},
            },
            *(parameter for parameter in push["parameters"] if parameter["name"] != "input"),
        ],
        "requestBody": {
            **push["requestBody"],
            "content": {"application/json": {"schema": _object(arguments, [], additionalProperties=False)}},
        },
        "responses": {**push["responses"], "404": _problem("no function of that name may be pushed")},
    }


def _job_paths() -> Document:
    missing = {"404": _problem("there is no such job, or it is another key's")}
    result_missing = {"404": _problem("no result: yet, ever, or any more; with the job's status where there is a job")}
    return {
        "/status/{id}": {
            "get": {
                "operationId": "status",
                "summary": "A job's status",
                "responses": {"200": _answer("the job", _ref("Job"), _APPLIED), **_BAD_WAIT, **missing, **_AWAY},
            }
        },
        "/data/{id}": {
            "get": {
                "operationId": "data",
                "summary": "A job's result",
                "responses": {
                    "200": _answer("the result", {"anyOf": [_ref("ResultApart"), _ref("Result")]}, _APPLIED),
                    **_BAD_WAIT, **result_missing, **_AWAY,
                },
            }
        },
        "/events/{id}": {
            "get": {
                "operationId": "events",
                "summary": "What a job tells while it runs",
                "parameters": [
                    {
                        "name": "after",
                        "in": "query",
                        "description": "the place of an event: those behind it are wanted",
                        "schema": {"type": "string", "pattern": "^[0-9]{1,19}-[0-9]{1,19}$"},
                    }
                ],
                "responses": {
                    "200": _with_events(_answer("a page of events, oldest first", _ref("Events"))),
                    "400": _problem(f"a bad `after` or Last-Event-ID, or {_BAD_QUERY}"),
                    **missing, **_AWAY,
                },
            }
        },
        "/files/{id}/{name}": {
            "get": {
                "operationId": "file",
                "summary": "A file of a job",
                "parameters": [
                    {
                        "name": "name",
                        "in": "path",
                        "required": True,
                        "description": "the end of a `url` in the job's result",
                        "schema": {"type": "string", "pattern": f"^{NAME.pattern}$"},
                    },
                    {
                        "name": "Range",
                        "in": "header",
                        "description": "the part that is wanted, such as `bytes=0-99`",
                        "schema": {"type": "string", "pattern": "^bytes=[0-9]{1,9}-$"},
                    },
                ],
                "responses": {
                    "200": _file("the file", {}),
                    "206": _file("the part that was asked for", {"Content-Range": _TEXT_HEADER}),
                    "304": {"description": "the client has it (If-None-Match)", "headers": {"ETag": _TEXT_HEADER}},
                    "307": {
                        "description": "the file is at this URL, which needs no API key and is valid for a while",
                        "headers": {"Location": _TEXT_HEADER},
                    },
                    "404": _problem("there is no such file, or it is of another key's job"),
                    "416": _problem("the range begins behind the file's end", {"Content-Range": _TEXT_HEADER}),
                    **_AWAY,
                },
            }
        },
        "/uploads": {
            "post": {
                "operationId": "uploads",
                "summary": "Ask where to put a file that a push is to have",
                "parameters": [
                    {
                        "name": "name",
                        "in": "query",
                        "description": "the file's name, whose ending says its type",
                        "schema": {"type": "string"},
                    }
                ],
                "responses": {
                    "201": _answer("where to put it", _ref("Upload"), {"Location": _TEXT_HEADER}),
                    "404": _problem("there is no object store"),
                    "429": _TOO_MANY_UPLOADS,
                    **_AWAY,
                },
            }
        },
        "/uploads/{id}": {
            "put": {
                "operationId": "upload",
                "summary": "Put a file that a push is to have",
                "parameters": [
                    {
                        "name": "id",
                        "in": "path",
                        "required": True,
                        "description": "the end of `put`, unless that is a URL of the object store",
                        "schema": {"type": "string", "pattern": f"^{UPLOAD_ID.pattern}$"},
                    }
                ],
                "requestBody": {
                    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
                },
                "responses": {
                    "200": _answer("stored", _object({"file": _UPLOADED, "size_bytes": {"type": "integer"}})),
                    "404": _problem("there is no such upload, or no object store"),
                    "408": _problem("the body took too long"),
                    "413": _problem("the file is too large"),
                    "429": _TOO_MANY_UPLOADS,
                    **_AWAY,
                },
            }
        },
        "/cancel/{id}": {
            "post": {
                "operationId": "cancel",
                "summary": "Cancel a job that has not ended",
                "responses": {
                    "200": _answer("cancelled", _ref("Changed")),
                    **missing, "409": _problem("the job has ended"), **_AWAY,
                },
            }
        },
        "/retry/{id}": {
            "post": {
                "operationId": "retry",
                "summary": "Run a failed job again",
                "responses": {
                    "202": _answer("queued again", _ref("Changed"), _LOCATION),
                    **missing, "409": _problem("the job has not failed, or its input is gone"), **_AWAY,
                },
            }
        },
    }  # fmt: skip


def _machine_paths(settings: GatewaySettings) -> Document:
    health = _answer("yes", _ref("Health"))
    text = {"description": "metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}
    metrics = {"get": {"operationId": "metrics", "summary": "Metrics for Prometheus", "responses": {"200": text}}}
    return {
        **({} if settings.metrics_port else {"/metrics": metrics}),
        "/healthz": {"get": {"operationId": "healthz", "summary": "The process answers", "responses": {"200": health}}},
        "/readyz": {
            "get": {
                "operationId": "readyz",
                "summary": "The job stream can be reached",
                "responses": {"200": health, **_AWAY},
            }
        },
        "/openapi.json": {
            "get": {
                "operationId": "openapi",
                "summary": "This document",
                "responses": {"200": _answer("OpenAPI 3.1", {"type": "object"})},
            }
        },
    }


def _operations(paths: Document) -> list[tuple[str, Document]]:
    return [(path, operation) for path, item in paths.items() for operation in item.values()]


def describe(settings: GatewaySettings) -> Document:
    """The document. With API keys configured, it asks for them; its bounds are those of `settings`.

    `servers` is a path alone: a client takes scheme and host from where it got the document.
    """
    push = _push(settings)
    has_keys, has_webhooks = settings.has_keys, bool(settings.webhook_secret_list())
    push["parameters"] += PUSH_PARAMETERS if has_webhooks else []
    machines = _machine_paths(settings)
    webhooks = webhook_paths(_answer, _problem) if has_webhooks else {}
    jobs = {
        "/push": {"post": push},
        "/push/{function}": {"post": _push_function(settings, push)},
        **_job_paths(),
        **list_paths(settings, _AWAY),
        **log_paths(_AWAY),
        **page_paths(_AWAY),
        **batch_paths(settings, push["parameters"], _AWAY, _LIMITED if settings.api_keys_file else {}),
    }
    wait = _parameters(settings.max_wait_s)
    for path, operation in _operations(jobs):
        operation.setdefault("parameters", [])
        if "{id}" in path and not path.startswith("/uploads"):
            schema = BATCH_ID if path.startswith("/batches") else _ID
            operation["parameters"].append({"name": "id", "in": "path", "required": True, "schema": schema})
        if path not in _WITHOUT_WAIT:
            operation["parameters"] += wait
    for tag, tagged in (("jobs", jobs), ("webhooks", webhooks), ("machines", machines)):
        for path, operation in _operations(tagged):
            operation["tags"] = [tag]
            operation["responses"].setdefault("400", _problem(_BAD_QUERY))
            if tag == "webhooks":
                operation["responses"] |= _AWAY
            if has_keys and (tag != "machines" or path in ("/metrics", "/openapi.json")):
                operation["security"] = [{"key": []}]
                operation["responses"]["401"] = _problem("no API key, or an unknown one", _CHALLENGE)
    components: Document = {"schemas": _SCHEMAS}
    if has_keys:
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

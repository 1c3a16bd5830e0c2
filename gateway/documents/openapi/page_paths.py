"""What the page asks for, in the API's description: overview, history, dead letters, inputs."""

from __future__ import annotations

from gateway.documents.openapi.parts import PLACE, UNAVAILABLE, Document, answer, object_of, problem, query, ref

MOST_LETTERS = 100
MOST_KIND_CHARS = 200
_TIME_MS: Document = {"type": "integer", "description": "ms since the epoch, by the server's clock"}
_COUNT: Document = {"type": "integer", "minimum": 0}
_FIGURE: Document = {"type": "number", "minimum": 0}
_MAYBE: Document = {"type": ["number", "null"], "minimum": 0}
_AMOUNTS: Document = {"type": "object", "additionalProperties": _FIGURE}
PAGE_SCHEMAS: Document = {
    "Overview": object_of(
        {
            "now": _TIME_MS,
            "reachable": {"type": "boolean"},
            "queues": {"type": "object", "additionalProperties": ref("QueueOverview")},
        }
    ),
    "QueueOverview": object_of(
        {
            "waiting": {**_COUNT, "description": "jobs that no worker runs"},
            "running": _COUNT,
            "deferred": {**_COUNT, "description": "jobs that wait for their time"},
            "dead": {**_COUNT, "description": "dead letters"},
            "oldest_ms": {**_TIME_MS, "description": "since when the job waits that has waited longest"},
            "ended_per_s": {**_FIGURE, "description": "in the last minute"},
            "arrived_per_s": {**_FIGURE, "description": "in the last minute"},
            "latency_p50_s": {**_FIGURE, "description": "from push to end, in the last five minutes"},
            "latency_p95_s": _FIGURE,
            "wait_p95_s": {**_FIGURE, "description": "from push to start"},
            "scaler": ref("ScalerOverview"),
            "workers": {"type": "object", "additionalProperties": ref("WorkerOverview")},
        },
        ["waiting", "running", "deferred", "dead", "workers"],
        description="a member that is not known is left out",
    ),
    "ScalerOverview": object_of(
        {
            "replicas": {**_COUNT, "description": "workers there should be"},
            "reason": {"type": "string"},
            "held": {"type": "boolean", "description": "an older decision holds, for want of data"},
            "rate": {**_FIGURE, "description": "jobs/s that are expected `lead_s` from now"},
            "lead_s": _FIGURE,
            "objective_s": {**_FIGURE, "description": "how long a job should wait at most"},
            "startup_s": {**_FIGURE, "description": "how long a worker takes to start, as learnt"},
            "service_s": _FIGURE,
            "max_replicas": _COUNT,
            "share": ref("ShareOverview"),
            "startup_parts_s": {
                "type": "object",
                "additionalProperties": _FIGURE,
                "description": "seconds that the parts of a start took lately, as far as they are known",
            },
        },
        ["replicas", "reason", "held"],
    ),
    "ShareOverview": object_of(
        {
            "wanted": {**_COUNT, "description": "workers that the model is worth; `replicas` are those that it gets"},
            "guaranteed": {**_COUNT, "description": "workers that it may have whenever it wants them"},
            "takes": {**_AMOUNTS, "description": "what one worker takes of each resource"},
            "budget": {**_AMOUNTS, "description": "what all models have together of each resource"},
            "reason": {"type": "string", "description": "why it gets less than it wants; empty if it does not"},
        },
        description="only where models share a budget",
    ),
    "WorkerOverview": object_of(
        {
            "state": {"type": "string", "description": "starting, idle, busy or stopping"},
            "since": {**_TIME_MS, "description": "when it began to start; of a ready one, when it became ready"},
            "running": _COUNT,
            "slots": {**_COUNT, "description": "jobs that it may run at once"},
            "started": {**_TIME_MS, "description": "when the attempt began that it runs"},
            "fraction": {"type": "number", "description": "progress of that job, 0 to 1"},
            "job": {"type": "string", "description": "only for those who see everybody's jobs"},
            "text": {"type": "string", "description": "what that job has told last; likewise"},
        },
        ["state", "since", "running", "slots"],
    ),
    "History": object_of(
        {
            "now": _TIME_MS,
            "step_s": {**_COUNT, "description": "seconds that a point stands for"},
            "objective_s": _MAYBE,
            "startup_s": _MAYBE,
            "points": {"type": "array", "items": ref("HistoryPoint"), "description": "oldest first"},
        }
    ),
    "HistoryPoint": object_of(
        {
            "at": {**_TIME_MS, "description": "when it begins"},
            "arrivals": {**_MAYBE, "description": "jobs/s pushed"},
            "ended": {**_MAYBE, "description": "jobs/s that ended"},
            "waiting": _COUNT,
            "running": _COUNT,
            "ready": {**_COUNT, "description": "workers"},
            "starting": {**_COUNT, "description": "workers"},
            "wanted": {"type": ["integer", "null"], "description": "the scaler's decision"},
            "forecast": {**_MAYBE, "description": "jobs/s that the scaler expected `lead_s` later"},
            "lead_s": _MAYBE,
            "wait_p95_s": _MAYBE,
            "latency_p50_s": _MAYBE,
            "latency_p95_s": _MAYBE,
        }
    ),
    "DeadLetterView": object_of(
        {
            "id": {"type": "string", "description": "the job's"},
            "function": {"type": "string"},
            "attempts": _COUNT,
            "failed": {"type": "string", "format": "date-time"},
            "error": ref("JobError"),
        },
        additionalProperties=False,
    ),
    "DeadLetterList": object_of(
        {
            "letters": {"type": "array", "items": ref("DeadLetterView"), "description": "newest first"},
            "next": {"type": ["string", "null"], "description": "the `before` of the next page; null: there is none"},
        },
        additionalProperties=False,
    ),
    "Requeued": object_of({"requeued": _COUNT}, additionalProperties=False),
    "PushedInput": object_of(
        {"args": {"type": "array", "items": {}, "description": "the input, or a function's arguments"}}
    ),
}


def page_paths() -> Document:
    """The paths."""
    kind = query("type", {"type": "string", "minLength": 1, "maxLength": MOST_KIND_CHARS}, "errors of this type")
    seconds = {"type": "integer", "minimum": 10, "maximum": 86_400, "default": 3600}
    bad_query = {"400": problem("a bad parameter, or one that is unknown or given twice")}
    overview = answer("all queues now; as events, `change` has a merge patch (RFC 7396)", ref("Overview"))
    overview["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "/overview": {
            "get": {
                "operationId": "overview",
                "summary": "All queues at a glance, also as they change",
                "responses": {"200": overview, **bad_query, **UNAVAILABLE},
            }
        },
        "/history": {
            "get": {
                "operationId": "history",
                "summary": "A queue's last hour, or up to a day",
                "parameters": [query("seconds", seconds, "how far back")],
                "responses": {"200": answer("the history", ref("History")), **bad_query, **UNAVAILABLE},
            }
        },
        "/dead-letters": {
            "get": {
                "operationId": "dead_letters",
                "summary": "Failed jobs whose inputs are kept, newest first",
                "parameters": [kind, query("before", PLACE, "the `next` of the page before")],
                "responses": {"200": answer("a page", ref("DeadLetterList")), **bad_query, **UNAVAILABLE},
            }
        },
        "/dead-letters/requeue": {
            "post": {
                "operationId": "requeue_dead_letters",
                "summary": "Run all dead letters of a type of error again",
                "parameters": [{**kind, "required": True}],
                "responses": {"200": answer("how many these were", ref("Requeued")), **bad_query, **UNAVAILABLE},
            }
        },
        "/inputs/{id}": {
            "get": {
                "operationId": "job_input",
                "summary": "What was pushed, of a job that has not finished",
                "responses": {
                    "200": answer("the arguments", ref("PushedInput")),
                    "404": problem("no such job, another key's, or one whose input is not kept here"), **UNAVAILABLE,
                },
            }
        },
    }  # fmt: skip

"""Spans of requests (OpenTelemetry's semantic conventions for HTTP servers and for messaging)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from gateway.http.request import HttpRequest
from gateway.http.traceparent import traceparent_of as traceparent_of_request
from workers.telemetry.tracing import SYSTEM, context_of, set_error, traceparent_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span, Tracer
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class TracedEndpoint:
    """ASGI application that is `endpoint`, a push, in a span of its own: its job gets that one as its trace.

    `queue_of` says which queue a request is for; empty if none.
    """

    def __init__(self, endpoint: ASGIApp, tracer: Tracer, route: str, queue_of: Callable[[HttpRequest], str]) -> None:
        self._endpoint = endpoint
        self._tracer = tracer
        self._route = route
        self._queue_of = queue_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HttpRequest(scope, receive)
        about = {
            "http.request.method": scope["method"],
            "http.route": self._route,
            "messaging.system": SYSTEM,
            "messaging.operation.type": "send",
            "messaging.operation.name": "push",
            "messaging.destination.name": self._queue_of(request),
        }
        with self._tracer.start_as_current_span(
            f"{scope['method']} {self._route}",
            context_of(traceparent_of_request(request)),
            SpanKind.SERVER,
            about,
            record_exception=False,
        ) as span:

            async def send_on(message: Message) -> None:
                if message["type"] == "http.response.start":
                    _note_answer(span, message)
                await send(message)

            own = (b"traceparent", traceparent_of(span).encode())
            headers = [*(header for header in scope["headers"] if header[0] != b"traceparent"), own]
            await self._endpoint({**scope, "headers": headers}, receive, send_on)


def _note_answer(span: Span, message: Message) -> None:
    status: int = message["status"]
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        set_error(span, str(status))
    location = next((value for name, value in message["headers"] if name.lower() == b"location"), b"").decode("latin-1")
    place, _, named = location.rpartition("/")
    if named:
        span.set_attribute("leadtime.batch.id" if place.endswith("/batches") else "messaging.message.id", named)

"""Spans of deliveries (OpenTelemetry's semantic conventions for HTTP clients)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind

from workers.telemetry.tracing import context_of, set_error, traceparent_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Span, Tracer
    from yarl import URL

    from workers.webhooks.message import JobNews


class DeliverySpan:
    """One try's span. `headers` tell the receiver of it."""

    def __init__(self, span: Span) -> None:
        self._span = span
        traceparent = traceparent_of(span)
        self.headers = {"traceparent": traceparent} if traceparent else {}

    def answered(self, status: int) -> None:
        """Notes the receiver's answer."""
        self._span.set_attribute("http.response.status_code", status)

    def failed(self, error_type: str, status: int) -> None:
        """Notes that the try has failed; `status` is 0 if there was no answer."""
        if status:
            self.answered(status)
        set_error(self._span, error_type)


@contextlib.contextmanager
def delivery_span(
    tracer: Tracer, traceparent: str, message_id: str, event: JobNews, target: URL, tries: int
) -> Iterator[DeliverySpan]:
    """The span of a try, a child of the job's push. Of the URL it has the host alone: a path may be a secret."""
    about: dict[str, str | int] = {
        "http.request.method": "POST",
        "server.address": target.host or "",
        "server.port": target.port or 0,
        "messaging.message.id": event.job_id,
        "leadtime.webhook.id": message_id,
        "leadtime.webhook.event": event.name,
    }
    if tries > 1:
        about["http.request.resend_count"] = tries - 1
    with tracer.start_as_current_span(
        "POST", context_of(traceparent), SpanKind.CLIENT, about, record_exception=False
    ) as span:
        yield DeliverySpan(span)

"""A model that makes spans of its own, as its users would."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from workers.job import Job  # noqa: TC001 - read from the annotation at run time


class TracedModel:
    """Upper-cases, in a span."""

    def __init__(self) -> None:
        provider = TracerProvider(resource=Resource.create({"service.name": "my-model"}))
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
        self.tracer = trace.get_tracer("my-model")

    def predict(self, text: str, job: Job) -> str:
        """Also tells the trace that it was given."""
        with self.tracer.start_as_current_span("upper"):
            return f"{text.upper()} {job.traceparent}"

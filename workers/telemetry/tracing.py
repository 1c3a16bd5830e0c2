"""OpenTelemetry, if the environment or the program asks for it: the tracer of this process.

Nothing of OpenTelemetry is imported otherwise. Its packages are those of the extra `otel`.
"""

from __future__ import annotations

import atexit
import importlib
import os
import socket
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from workers import __version__
from workers.settings import end_with_bad_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

# What a process that ends waits for its last spans to be taken. The SDK alone would wait for half a minute.
END_S = 3.0

SYSTEM = "leadtime"
"""What spans have as their `messaging.system`."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}


class BadTracing(ValueError):  # noqa: N818
    """A variable asks for traces that can't be had. The message is one sentence, and names it."""


@cache
def open_tracing(service: str) -> Tracer | None:
    """The tracer of this process, or None if nobody asks for traces. Raises BadTracing.

    The program asks by a provider of its own, which it has set before. The environment asks by OTEL_TRACES_EXPORTER
    (otlp, console, none) or by an endpoint for OTLP; then `service` is the service's name, unless the environment has
    another. What else there is to set (sampler, headers, batches), the SDK reads itself.
    """
    if (tracer := _of_the_program()) is not None:
        return tracer
    chosen = _exporter_asked_for(os.environ)
    return None if chosen is None else _opened(service, chosen)


def tracer_or_end(service: str) -> Tracer | None:
    """The same for a process that starts: a bad variable ends it, with exit code 2 and a sentence."""
    try:
        return open_tracing(service)
    except BadTracing as error:
        end_with_bad_setting(str(error))


def _of_the_program() -> Tracer | None:
    if (trace := sys.modules.get("opentelemetry.trace")) is None:
        return None
    is_set = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    tracer: Tracer | None = trace.get_tracer("leadtime", __version__) if is_set else None
    return tracer


def _exporter_asked_for(environment: Mapping[str, str]) -> str | None:
    """Its name, or None. Raises BadTracing."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    named = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if named not in ("", "otlp", "console", "none"):
        raise BadTracing(f"bad setting OTEL_TRACES_EXPORTER={named!r}: it is otlp, console or none")
    if named == "none":
        return None
    return named or ("otlp" if any(environment.get(name) for name in _ENDPOINTS) else None)


def _opened(service: str, exporter: str) -> Tracer:
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    except ImportError as error:
        raise BadTracing(f"OTEL_* ask for traces, but a package of the extra `otel` is missing: {error}") from None
    processor = BatchSpanProcessor(ConsoleSpanExporter() if exporter == "console" else _otlp_exporter(os.environ))
    provider = TracerProvider(
        # What is given here would go before the environment's.
        resource=Resource.create(_resource(service, os.environ)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    atexit.register(_end, provider.shutdown)
    return provider.get_tracer("leadtime", __version__)


def _resource(service: str, environment: Mapping[str, str]) -> dict[str, str]:
    found = {"service.version": __version__, "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"}
    given = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in given:
        found["service.name"] = service
    return found


def _otlp_exporter(environment: Mapping[str, str]) -> SpanExporter:
    name = next((found for name in _PROTOCOLS if (found := environment.get(name))), "http/protobuf")
    if (path := _EXPORTERS.get(name)) is None:
        raise BadTracing(f"bad setting OTEL_EXPORTER_OTLP_PROTOCOL={name!r}: it is {' or '.join(_EXPORTERS)}")
    try:
        module: Any = importlib.import_module(path)
    except ImportError as error:
        package = "-".join(path.split(".")[:-1])
        raise BadTracing(f"OTEL_EXPORTER_OTLP_PROTOCOL={name!r} needs the package {package}: {error}") from None
    exporter: SpanExporter = module.OTLPSpanExporter()
    return exporter


def _end(shutdown: Callable[[], None]) -> None:
    # A collector that is away must not hold up a process that ends.
    thread = threading.Thread(target=shutdown, daemon=True)
    thread.start()
    thread.join(END_S)


def context_of(traceparent: str) -> Context:
    """The context in which spans are children of this traceparent's; an empty one without it."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not traceparent:
        return Context()
    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())


def current_traceparent() -> str:
    """The traceparent of the span in which this runs; empty if there is none."""
    if (trace := sys.modules.get("opentelemetry.trace")) is None:
        return ""
    return traceparent_of(trace.get_current_span())


def traceparent_of(span: Span) -> str:
    """The span as a traceparent (W3C Trace Context); empty for none, which a provider that does nothing gives."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def set_error(span: Span, error_type: str) -> None:
    """Marks a span as failed. Never with a message: an input may be in it."""
    from opentelemetry.trace import StatusCode

    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)

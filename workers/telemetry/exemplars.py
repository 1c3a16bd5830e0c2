"""Histograms whose buckets name a trace, for scrapes in OpenMetrics' format."""

from __future__ import annotations

from opentelemetry.trace import get_current_span
from prometheus_client import Histogram


class TracedHistogram(Histogram):
    """A histogram that keeps the trace of what it has seen last in each bucket, if that is sampled."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Counts an amount; by itself the exemplar is the current span."""
        context = get_current_span().get_span_context()
        if exemplar is None and context.is_valid and context.trace_flags.sampled:
            exemplar = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        super().observe(amount, exemplar)

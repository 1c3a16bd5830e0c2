"""What a run of the load generator is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from yarl import URL

from bench.common.arguments import DEFAULT_URL

if TYPE_CHECKING:
    from bench.common.arrivals import Process


@dataclass(frozen=True, slots=True)
class Plan:
    """`load` is a text that bench.common.arrivals reads. Times are in seconds."""

    load: str
    url: str = DEFAULT_URL
    duration_s: float | None = 60.0  # None: all of a trace
    process: Process = "poisson"
    seed: int = 1
    name: str = ""
    input: str | None = None  # a template, see inputs.py; None is the default one
    poll_s: float | None = None  # None waits by long poll
    timeout_s: float = 300.0  # after the load's end
    push_only: bool = False  # nobody waits for the jobs
    persist: bool = False  # a push that is answered with 503 is sent again
    second_look: bool = True  # results are fetched again in the end, and must be the same
    check_input: bool = True  # a result must carry its input
    kubernetes: str | None = None  # the namespace whose worker pods are watched
    api_key: str | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """The run's name."""
        return self.name or self.load

    def parameters(self) -> dict[str, Any]:
        """For the run's file, which must not hold any secret."""
        url = URL(self.url)
        return {
            **asdict(self),
            "url": str(url.with_user(None) if url.user or url.password else url),
            "api_key": self.api_key is not None,
        }

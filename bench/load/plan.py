"""What a run of the load generator is told, and the inputs of its jobs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from yarl import URL

from bench.common.arguments import DEFAULT_URL
from bench.common.arrivals import LoadError

if TYPE_CHECKING:
    from bench.common.arrivals import Process


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """`load` is a text that bench.common.arrivals reads. Times are in seconds."""

    load: str
    url: str = DEFAULT_URL
    duration_s: float | None = 60.0  # None: all of a trace
    process: Process = "poisson"
    seed: int = 1
    name: str = ""
    queue: str = ""  # that is pushed to; empty is the one that takes a push without a queue
    input: str | None = None  # a template, see input_body; None is the default one
    poll_s: float | None = None  # seconds between two polls; None waits by long poll
    timeout_s: float = 300.0  # after the load's end
    push_only: bool = False  # nobody waits for the jobs
    persist: bool = False  # a push that is answered with 503 is sent again
    second_look: bool = True  # results are fetched again in the end, and must be the same
    check_input: bool = True  # a result must carry its input
    kubernetes: str | None = None  # the namespace whose worker pods are watched
    api_key: str | None = field(default=None, repr=False)

    def parameters(self) -> dict[str, Any]:
        """The plan for the run's file, without secrets."""
        url = URL(self.url)
        shown = url.with_user(None) if url.user or url.password else url
        return {**asdict(self), "url": str(shown), "api_key": self.api_key is not None}


def input_body(template: str, number: int, service_s: float | None) -> bytes:
    """The JSON document that job `number` (from 1) is pushed with. Raises LoadError if it would be empty.

    In the template, `{n}` stands for the job's number, `{service_s}` for its seconds of service, or null. A result
    that is JSON is sent as JSON, any other as a text.
    """
    seconds = "null" if service_s is None else f"{service_s:.9g}"
    text = template.replace("{n}", str(number)).replace("{service_s}", seconds)
    if text.strip() in ("", '""'):
        raise LoadError("the input is empty: the service refuses that")
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return orjson.dumps(text)
    return text.encode()

"""The file of one run, of the load generator, of an experiment or of the simulator: one format, so that they compare.

Gzipped JSON: the fields of `Run`. All times are seconds since the run's begin; null where the thing never
happened or could not be seen.
"""

from __future__ import annotations

import gzip
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from pathlib import Path

# What became of a job, as its user saw it. Accepted: its push was acknowledged, and nobody was to wait for more.
OUTCOMES = ("finished", "accepted", "failed", "cancelled", "given up", "refused", "lost", "duplicated")
# A request that leaves this long after its scheduled time is late.
LATE_S = 0.01
# Pydantic's, for what is read from a file.
_EXACT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class RunError(Exception):
    """Why a file is not one of a run, in one sentence."""


@dataclass(slots=True)
class JobColumns:
    """Columns of equal length, one entry for each job, in the order of their scheduled times."""

    __pydantic_config__: ClassVar = _EXACT
    scheduled_s: list[float] = field(default_factory=list)
    sent_s: list[float | None] = field(default_factory=list)  # its request left; late if the generator can't keep up
    accepted_s: list[float | None] = field(default_factory=list)  # the push was answered with an id
    started_s: list[float | None] = field(default_factory=list)  # by the service's clock
    finished_s: list[float | None] = field(default_factory=list)  # by the service's clock
    ended_s: list[float | None] = field(default_factory=list)  # the user knows how it ended: latency counts to here
    outcome: list[str] = field(default_factory=list)  # one of OUTCOMES
    status_code: list[int | None] = field(default_factory=list)  # of a refused push; null if there was no answer
    attempts: list[int | None] = field(default_factory=list)
    id: list[str | None] = field(default_factory=list)


@dataclass(slots=True)
class Samples:
    """Columns of equal length: what was seen of the queue and the workers, in the order of `t_s`."""

    __pydantic_config__: ClassVar = _EXACT
    t_s: list[float] = field(default_factory=list)
    waiting: list[int | None] = field(default_factory=list)  # jobs that no worker has claimed
    running: list[int | None] = field(default_factory=list)
    wanted: list[int | None] = field(default_factory=list)  # replicas that the scaler asks for
    starting: list[int | None] = field(default_factory=list)  # pods that are there and not ready
    ready: list[int | None] = field(default_factory=list)
    stopping: list[int | None] = field(default_factory=list)  # pods that were told to go and still run
    forecast: list[float | None] = field(default_factory=list)  # jobs/s that the scaler expects
    spread: list[float | None] = field(default_factory=list)  # standard deviation of that; older files have none


class Event(TypedDict):
    """Something that was done to the run meanwhile: a fault."""

    t_s: float
    what: str


@dataclass(slots=True)
class Run:
    """One run."""

    __pydantic_config__: ClassVar = _EXACT
    kind: str  # "load" or "simulation"
    name: str  # what it is called in tables and plots
    duration_s: Annotated[float, Field(ge=0)]  # how long its load was to last
    parameters: dict[str, Any] = field(default_factory=dict)  # what it was told, complete: it can be made again
    versions: dict[str, str] = field(default_factory=dict)  # of the programs that took part
    started: str = ""  # when it began, ISO 8601 with a time zone; empty for a simulation
    jobs: JobColumns = field(default_factory=JobColumns)
    samples: Samples = field(default_factory=Samples)
    events: list[Event] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # sentences that a reader of its figures has to know
    format: Literal["leadtime-run/1"] = "leadtime-run/1"

    @property
    def pod_s(self) -> float | None:
        """Seconds of all pods together, from their creation to their end; None where no pods were seen.

        While none could be seen, there are as many as there were.
        """
        seen = self.samples
        total, pods, known = 0.0, 0, False
        for i in range(len(seen.t_s) - 1):
            counts = [count for count in (seen.starting[i], seen.ready[i], seen.stopping[i]) if count is not None]
            if counts:
                pods, known = sum(counts), True
            total += pods * (seen.t_s[i + 1] - seen.t_s[i])
        return total if known else None


def write(run: Run, path: Path) -> None:
    """Whole or not at all: the file appears under its name once it is complete."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(gzip.compress(orjson.dumps(run), mtime=0))
    part.replace(path)


def read(path: Path) -> Run:
    """Raises RunError if it is not a run's file, OSError if it can't be read."""
    try:
        run = TypeAdapter(Run).validate_json(gzip.decompress(path.read_bytes()))
    except ValidationError as error:
        wrong = error.errors()[0]
        what = ".".join(map(str, wrong["loc"])) or "all of it"
        raise RunError(f"{path} is not the file of a run ({what}: {wrong['msg']})") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise RunError(f"{path} is not the file of a run ({error})") from error
    run.samples.spread = run.samples.spread or [None] * len(run.samples.t_s)
    if any(len({len(column) for column in asdict(part).values()}) > 1 for part in (run.jobs, run.samples)):
        raise RunError(f"{path}: its columns differ in length")
    return run

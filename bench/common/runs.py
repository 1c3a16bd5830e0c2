"""The file of one run, of the load generator, of an experiment or of the simulator: one format, so that they compare.

Gzipped JSON, one object:

    format        "leadtime-run/1"
    kind          "load" or "simulation"
    name          what the run is called in tables and plots
    parameters    what it was told, complete: with them it can be made again
    versions      of the programs that took part
    started       when it began, ISO 8601 with a time zone ("" for a simulation)
    duration_s    how long its load was to last
    jobs          columns of equal length, one entry for each job, in the order of their scheduled times
    samples       columns of equal length: what was seen of the queue and the workers, in the order of `t_s`
    events        what was done to it meanwhile (faults), as {"t_s", "what"}
    notes         sentences that a reader of its figures has to know

All times are seconds since the run's begin; null where the thing never happened or could not be seen.
"""

from __future__ import annotations

import gzip
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "leadtime-run/1"

# What became of a job, as its user saw it. Accepted: its push was acknowledged, and nobody was to wait for more.
OUTCOMES = ("finished", "accepted", "failed", "cancelled", "given up", "refused", "lost", "duplicated")
# A request that leaves this long after its scheduled time is late.
LATE_S = 0.01


class RunError(Exception):
    """Why a file is not one of a run, in one sentence."""


@dataclass(slots=True)
class Jobs:
    """One entry a job in each list."""

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
    """One entry a look in each list; null for what can't be seen."""

    t_s: list[float] = field(default_factory=list)
    waiting: list[int | None] = field(default_factory=list)  # jobs that no worker has claimed
    running: list[int | None] = field(default_factory=list)
    wanted: list[int | None] = field(default_factory=list)  # replicas that the scaler asks for
    starting: list[int | None] = field(default_factory=list)  # pods that are there and not ready
    ready: list[int | None] = field(default_factory=list)
    stopping: list[int | None] = field(default_factory=list)  # pods that were told to go and still run
    forecast: list[float | None] = field(default_factory=list)  # jobs/s that the scaler expects


@dataclass(slots=True)
class Run:
    """See the top of this file."""

    kind: str
    name: str
    duration_s: float
    parameters: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    started: str = ""
    jobs: Jobs = field(default_factory=Jobs)
    samples: Samples = field(default_factory=Samples)
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def latencies_s(self) -> list[float]:
        """Scheduled time to known end, of the jobs that finished or, where nobody waited for that, were accepted."""
        jobs = self.jobs
        return [
            ended - scheduled
            for scheduled, ended, outcome in zip(jobs.scheduled_s, jobs.ended_s, jobs.outcome, strict=True)
            if outcome in ("finished", "accepted") and ended is not None
        ]

    @property
    def pod_s(self) -> float | None:
        """Seconds of all pods together, from their creation to their end; None where no pods were seen.

        While none could be seen, there are as many as there were.
        """
        samples = self.samples
        total, pods, seen = 0.0, 0, False
        for i in range(len(samples.t_s) - 1):
            there = (samples.starting[i], samples.ready[i], samples.stopping[i])
            counts = [count for count in there if count is not None]
            if counts:
                pods, seen = sum(counts), True
            total += pods * (samples.t_s[i + 1] - samples.t_s[i])
        return total if seen else None


def write(run: Run, path: Path) -> None:
    """Whole or not at all: the file appears under its name once it is complete."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(gzip.compress(orjson.dumps({"format": FORMAT, **asdict(run)}), mtime=0))
    part.replace(path)


def read(path: Path) -> Run:
    """Raises RunError if it is not a run's file, OSError if it can't be read."""
    try:
        document = orjson.loads(gzip.decompress(path.read_bytes()))
        if document.pop("format") != FORMAT:
            raise RunError(f"{path} is a run of another format")
        jobs, samples = Jobs(**document.pop("jobs")), Samples(**document.pop("samples"))
        run = Run(jobs=jobs, samples=samples, **document)
    except (gzip.BadGzipFile, EOFError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is not the file of a run ({error})") from error
    for columns in (asdict(run.jobs), asdict(run.samples)):
        if len({len(column) for column in columns.values()}) > 1:
            raise RunError(f"{path}: its columns differ in length")
    return run

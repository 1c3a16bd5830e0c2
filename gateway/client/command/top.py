"""The command `top`: the page's first view in a terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import sys
import time
from typing import TYPE_CHECKING

import click

from .context import CommandContext, plain
from .units import NONE, duration, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..options import JobStatus
    from ..queues.overview import QueueView, ScalerView

_SHOWN_JOBS = 10
_MOST_REASON_CHARS = 500
_COLUMNS = ("queue", "waiting", "running", "oldest wait", "jobs/s", "pushed/s", "p50", "p95", "wait p95")
_BUDGET_COLUMNS = ("model", "wanted", "gets", "guaranteed")


@click.command()
@click.option("--interval", "interval_s", type=click.FloatRange(0.1), default=2.0, metavar="SECONDS", help="Each look.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many looks.")
@click.pass_obj
def top(context: CommandContext, interval_s: float, count: int | None) -> None:
    """Show queues, workers, the scaler's decisions and the jobs that run, until Ctrl-C."""
    with context.client() as client, contextlib.suppress(KeyboardInterrupt):
        for look in itertools.count() if count is None else range(count):
            if look:
                time.sleep(interval_s)
            all_queues = client.overview()
            queues = [one for one in all_queues if context.queue in ("", one.queue)]
            names = [context.queue] if len(all_queues) == 1 or context.queue else [one.queue for one in queues]
            jobs = itertools.chain.from_iterable(client.jobs(status="processing", queue=name) for name in names)
            running = list(itertools.islice(jobs, _SHOWN_JOBS))
            if not context.as_json and sys.stdout.isatty():
                click.clear()
            document = {"queues": [dataclasses.asdict(one) for one in queues], "processing": running}
            context.show(document, "\n".join((*_lines(queues), "", *map(_job, running))).rstrip())


def _lines(queues: Sequence[QueueView]) -> Iterator[str]:
    yield from _table(_COLUMNS, [_row(one) for one in queues])
    for one in queues:
        name = f"{plain(one.queue)}: " if len(queues) > 1 else ""
        states = ", ".join(f"{count} {state}" for state, count in sorted(one.workers.items()))
        more = [f"{number(n)} {text}" for n, text in ((one.deferred, "scheduled"), (one.dead, "dead letters")) if n]
        yield ""
        yield name + ", ".join([f"workers: {states or 'none'}", *more])
        yield from _scaler(one.scaler)
    yield from _budget(queues)


def _row(one: QueueView) -> tuple[str, ...]:
    oldest = "none" if one.oldest_wait_s is None else duration(one.oldest_wait_s)
    rates = (number(one.ended_per_s), number(one.arrived_per_s))
    times = (duration(one.latency_p50_s), duration(one.latency_p95_s), duration(one.wait_p95_s))
    return (plain(one.queue), number(one.waiting), number(one.running), oldest, *rates, *times)


def _scaler(scaler: ScalerView | None) -> Iterator[str]:
    if scaler is None:
        yield "no scaler has decided anything"
        return
    yield f"{scaler.replicas} worker{'' if scaler.replicas == 1 else 's'}: {plain(scaler.reason, _MOST_REASON_CHARS)}"
    facts = [
        f"expects {number(scaler.rate)} jobs/s in {duration(scaler.lead_s)}" if scaler.rate is not None else "",
        f"a start takes {duration(scaler.startup_s)}{_parts(scaler)}" if scaler.startup_s is not None else "",
        f"a job takes {duration(scaler.service_s)}" if scaler.service_s is not None else "",
        f"objective {duration(scaler.objective_s)}" if scaler.objective_s is not None else "",
        f"at most {scaler.max_replicas} workers" if scaler.max_replicas is not None else "",
    ]
    yield " · ".join(filter(None, facts))


def _parts(scaler: ScalerView) -> str:
    """What of a start takes how long, the longest part first."""
    parts_s = sorted(scaler.startup_parts_s.items(), key=lambda part: -part[1])
    return f" ({', '.join(f'{plain(name)} {duration(seconds)}' for name, seconds in parts_s)})" if parts_s else ""


def _budget(queues: Sequence[QueueView]) -> Iterator[str]:
    """Who gets what of the budget, if there is one."""
    shares = [(one.queue, one.scaler, one.scaler.share) for one in queues if one.scaler and one.scaler.share]
    if not shares:
        return
    _, _, first = shares[0]
    yield ""
    yield "budget: " + ", ".join(f"{amount:g} {plain(name)}" for name, amount in first.budget.items())
    rows = []
    for queue, scaler, share in shares:
        taken = [number(scaler.replicas * share.takes.get(name, 0.0)) for name in first.budget]
        rows.append((plain(queue), str(share.wanted), str(scaler.replicas), str(share.guaranteed), *taken))
    yield from _table((*_BUDGET_COLUMNS, *map(plain, first.budget)), rows)


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in (names, *rows)) for column in range(len(names))]
    for row in (names, *rows):
        yield "  ".join(
            [f"{row[0]:{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))]
        )


def _job(job: JobStatus) -> str:
    progress = job.get("progress") or {}
    fraction = progress.get("fraction")
    share = "" if fraction is None else f"{fraction:.0%}"
    started = job.get("started") or NONE
    return f"{job['id']}  since {started}  {share:>4} {plain(progress.get('text') or '', 60)}".rstrip()

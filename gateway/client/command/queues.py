"""Commands for what many jobs are: batch, queues, dead-letters."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConflictingState, NotFound
from .context import NOT_FINISHED, REFUSED, CommandContext, fail, plain, whole
from .inputs import option_parameters, read_lines
from .jobs import given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..blocking.client import Client
    from ..queues.figures import QueueFigures

_COLUMNS = ("queue", "waiting", "running", "deferred", "dead", "workers", "idle")


@click.command()
@click.argument("path", metavar="FILE.jsonl", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@option_parameters
@click.option("--no-wait", is_flag=True, help="Print the batch's id, and no results.")
@click.pass_obj
def batch(context: CommandContext, /, path: str, no_wait: bool, **more: Any) -> None:
    """Push each line of a file as an input (- is stdin), and print a line for each result, in their order."""
    inputs, is_whole = read_lines(path), True
    with context.client() as client:
        pushed = client.submit_batch(inputs, **given(context, more))
        if no_wait:
            context.show({"id": pushed.id}, pushed.id)
            return
        for outcome in pushed.results():
            is_whole = is_whole and outcome.status == "finished"
            text = outcome.result if outcome.error is None else outcome.error
            context.show(outcome._asdict(), f"{outcome.place:<8} {outcome.status:9} {whole(text)}")
    if not is_whole:
        sys.exit(NOT_FINISHED)


@click.command()
@click.pass_obj
def queues(context: CommandContext) -> None:
    """Print the figures of each queue."""
    with context.client() as client:
        found = chosen(context, client)
    if context.as_json:
        for one in found:
            context.show(one._asdict(), "")
    else:
        click.echo(table(found))


@click.command("dead-letters")
@click.option("--requeue", "requeued", metavar="ID", multiple=True, help="Run this one again; `all` is each of them.")
@click.option("--limit", type=click.IntRange(1), default=100, metavar="N", help="List at most so many (100).")
@click.pass_obj
def dead_letters(context: CommandContext, requeued: Sequence[str], limit: int) -> None:
    """List jobs that failed, newest first, or run them again."""
    with context.client() as client:
        if requeued:
            failed = client.jobs(status="failed", queue=context.queue)
            ids = [one["id"] for one in failed] if "all" in requeued else requeued
            outcomes = [_requeue(context, client, job_id) for job_id in ids]
            if "all" not in requeued and not all(outcomes):
                sys.exit(REFUSED)
            return
        for job in itertools.islice(client.jobs(status="failed", queue=context.queue), limit):
            error = job["error"] or {}
            text = f"{job['id']}  {job['finished']}  {job['attempts']} attempts  {error.get('type')}: "
            context.show(job, plain(f"{text}{error.get('message')}"))


def _requeue(context: CommandContext, client: Client, job_id: str) -> bool:
    text, is_queued = "queued", True
    try:
        client.job(job_id).retry()
    except (ConflictingState, NotFound) as refused:
        text, is_queued = refused.detail, False
    context.show({"id": job_id, "outcome": text}, f"{plain(job_id)}  {plain(text)}")
    return is_queued


def chosen(context: CommandContext, client: Client) -> list[QueueFigures]:
    """The figures of the queue that the command line names, or of all."""
    found = [one for one in client.queues() if context.queue in ("", one.queue)]
    if context.queue and not found:
        fail(f"the gateway names no queue {context.queue!r}", REFUSED)
    return found


def table(figures: Sequence[QueueFigures]) -> str:
    """A line for each queue, below a line of names."""
    rows = [_COLUMNS] + [
        (one.queue or "-", *map(str, (one.waiting, one.running, one.deferred, one.dead, one.workers, one.idle_workers)))
        for one in figures
    ]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{row[0]:{width}}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)

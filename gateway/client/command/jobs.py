"""Commands for one job: run, submit, status, watch, logs, cancel."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..errors import job_error
from .context import CommandContext, plain, whole
from .inputs import SECONDS, input_parameters, option_parameters, read_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..jobs import ToldEvent
    from ..options import JobStatus


@click.command()
@input_parameters
@option_parameters
@click.option("--wait", "wait_s", type=SECONDS, metavar="SECONDS", help="Give up waiting after this time.")
@click.pass_obj
def run(
    context: CommandContext,
    /,
    text: str | None,
    data: str | None,
    files: Sequence[str],
    wait_s: float | None,
    **more: Any,
) -> None:
    """Push an input and print its result. Ctrl-C cancels the job."""
    value = read_input(text, data, files)
    with context.client() as client:
        document = client.run(value, wait_timeout_s=wait_s, **given(context, more))
    context.show(document, _result_text(document))


@click.command()
@input_parameters
@option_parameters
@click.pass_obj
def submit(context: CommandContext, /, text: str | None, data: str | None, files: Sequence[str], **more: Any) -> None:
    """Push an input and print its job's id."""
    value = read_input(text, data, files)
    with context.client() as client:
        job = client.submit(value, **given(context, more))
    context.show({"id": job.id}, job.id)


@click.command()
@click.argument("job_id", metavar="ID")
@click.pass_obj
def status(context: CommandContext, job_id: str) -> None:
    """Print what is known of a job."""
    with context.client() as client:
        found = client.job(job_id).status()
    context.show(found, status_lines(found))


@click.command()
@click.argument("job_id", metavar="ID")
@click.pass_obj
def watch(context: CommandContext, job_id: str) -> None:
    """Print what a job tells, as it comes, up to its end."""
    with context.client() as client:
        for event in client.job(job_id).events():
            context.show(event._asdict(), _event_line(event, job_id))
            if event.kind == "end" and (end := _status_in(event.value, job_id))["status"] != "finished":
                raise job_error(job_id, end["status"], end.get("error"))


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@click.pass_obj
def logs(context: CommandContext, job_id: str, follow: bool) -> None:
    """Print a job's log lines."""
    with context.client() as client:
        job = client.job(job_id)
        for event in job.events() if follow else job.logs():
            if event.kind == "log":
                context.show(event._asdict(), whole(event.value))


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def cancel(context: CommandContext, job_ids: Sequence[str]) -> None:
    """End jobs that have not ended."""
    with context.client() as client:
        for job_id in job_ids:
            is_cancelled = client.job(job_id).cancel()
            text = "cancelled" if is_cancelled else "had ended before"
            context.show({"id": job_id, "cancelled": is_cancelled}, f"{plain(job_id)}  {text}")


def given(context: CommandContext, options: dict[str, Any]) -> dict[str, Any]:
    """The options that the command line has."""
    return context.options() | {name: value for name, value in options.items() if value is not None}


def status_lines(status: JobStatus) -> str:
    """A status document, a member a line."""
    return "\n".join(f"{name:9} {plain(value)}" for name, value in status.items() if value is not None)


def _result_text(document: dict[str, Any]) -> str:
    """The text that the model returned, if it has returned nothing else; otherwise the whole document."""
    output = document.get("output")
    if not isinstance(output, str) or document.keys() - {"output", "input", "id", "latency"}:
        return whole(document)
    if sys.stdout is None or not sys.stdout.isatty():
        return output
    return "\n".join(whole(line.expandtabs()) for line in output.splitlines())


def _event_line(event: ToldEvent, job_id: str) -> str:
    value = event.value
    if event.kind == "progress":
        return f"progress  {value['fraction']:.0%} {plain(value['text'])}".rstrip()
    if event.kind == "end":
        return f"end       {_status_in(value, job_id)['status']}"
    return f"{event.kind:9} {whole(value)}"


def _status_in(end: dict[str, Any], job_id: str) -> Any:
    """The status document in the value of an `end`: apart, if the model returned a member of such a name.

    It is `_job` then, or `__job` and so on if the model returned that, too.
    """
    apart = {
        name: value
        for name, value in end.items()
        if name.startswith("_") and name.lstrip("_") == "job" and isinstance(value, dict)
    }
    ours = [name for name, value in apart.items() if value.get("id") == job_id and "status" in value]
    return apart[max(ours, key=len)] if ours else end

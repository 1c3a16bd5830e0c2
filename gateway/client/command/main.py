"""The command's name, its common options, and completions."""

from __future__ import annotations

import io
import os
import sys

import click
from click.shell_completion import get_completion_class

from ..client import DEFAULT_URL
from .context import REFUSED, CommandContext, fail
from .inputs import SECONDS
from .jobs import cancel, logs, run, status, submit, watch
from .queues import batch, dead_letters, queues
from .top import top

_VARIABLE = "_LEADTIME_COMPLETE"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", envvar="LEADTIME_URL", default=DEFAULT_URL, show_default=True, help="The gateway.")
@click.option("--queue", default="", help="The queue, if the gateway has several.")
@click.option(
    "--patience",
    "patience_s",
    type=SECONDS,
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="For how long a request is tried again while the gateway is away or busy.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value a line, for scripts.")
@click.pass_context
def leadtime(context: click.Context, url: str, queue: str, patience_s: float, as_json: bool) -> None:
    """Jobs of a Leadtime gateway. The variable LEADTIME_API_KEY has the API key, if one is needed."""
    context.obj = CommandContext(url, os.environ.get("LEADTIME_API_KEY", ""), queue, patience_s, as_json)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completions(shell: str) -> None:
    """Print the completions for a shell: put `eval "$(leadtime completions bash)"` into ~/.bashrc."""
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(leadtime, {}, "leadtime", _VARIABLE).source())


def _for_scripts(context: click.Context, _option: click.Parameter, is_given: bool) -> None:
    if is_given:
        context.obj = context.obj._replace(as_json=True)


for _command in (run, submit, status, watch, logs, cancel, batch, queues, top, dead_letters, completions):
    leadtime.add_command(_command)
    if _command is not completions:
        # Behind the command's name as well as before it.
        _help = "Print one JSON value a line, for scripts."
        _option = click.Option(["--json"], is_flag=True, expose_value=False, callback=_for_scripts, help=_help)
        _command.params.append(_option)


def main() -> None:
    """Ends the process: 0, 1 (a job has not finished), 2 (wrong arguments), 3 (refused, or the gateway is away)."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="backslashreplace")
    try:
        leadtime(prog_name="leadtime", complete_var=_VARIABLE)
    except OSError as error:  # what it prints goes to a disk that is full
        fail(str(error), REFUSED)

"""How an input is written on a command line."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..files import Upload
from ..options import encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

F = TypeVar("F", bound="Callable[..., Any]")


class _Seconds(click.FloatRange):
    """0 or more seconds; NaN is neither."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        """Raises click.BadParameter."""
        seconds = float(super().convert(value, parameter, context))
        return self.fail(f"{value} is no time", parameter, context) if math.isnan(seconds) else seconds


SECONDS = _Seconds(0)


def input_parameters(command: F) -> F:
    """The parameters that say what the input is."""
    for add in (
        click.option(
            "--file", "files", multiple=True, metavar="[NAME=]PATH",
            help="A file as the member NAME of the input, or as the whole input.",
        ),
        click.option("--data", metavar="JSON", help="The input as JSON; @PATH reads a file, - reads stdin."),
        click.argument("text", required=False),
    ):  # fmt: skip
        command = add(command)
    return command


def option_parameters(command: F) -> F:
    """The parameters that are the job's options."""
    for add in (
        click.option("--tag", help="A word of your own, by which jobs are listed."),
        click.option("--priority", type=click.Choice(["high", "normal", "low"]), help="Which jobs it comes before."),
        click.option("--ttl", "ttl_s", type=float, metavar="SECONDS", help="A worker must start it within this time."),
        click.option("--delay", "delay_s", type=float, metavar="SECONDS", help="It is due after this time."),
        click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="At most for one attempt."),
        click.option("--max-attempts", type=int, metavar="N", help="After so many it fails."),
    ):
        command = add(command)
    return command


def read_input(text: str | None, data: str | None, files: Sequence[str]) -> Any:
    """The input. Raises click.UsageError if there is none, or two."""
    if text is not None and (data is not None or files):
        raise click.UsageError("give a TEXT, or --data and --file")
    if text is not None:
        return _sendable(text, "TEXT")
    if data is None and not files:
        raise click.UsageError("there is no input: give a TEXT, --data or --file")
    if data is None and len(files) == 1 and "=" not in files[0]:
        return _upload(files[0])
    value = {} if data is None else _json(data)
    if files:
        if not isinstance(value, dict):
            raise click.UsageError("only an object can have files beside it: --data '{...}'")
        for file in files:
            name, equals, path = file.partition("=")
            if not equals:
                raise click.UsageError(f"which member is {file}? Write NAME={file}")
            value[name] = _upload(path)
    return value


def read_lines(path: str) -> list[Any]:
    """The value of each line of a file, or of stdin for `-`. Raises click.UsageError for a line that is no JSON."""
    found = []
    for number, line in enumerate(_read(path).split("\n"), 1):
        if line.strip():
            found.append(_parsed(line, f"line {number} of {path}"))
    if not found:
        raise click.UsageError(f"{path} has no line")
    return found


def _upload(path: str) -> Upload:
    if not Path(path).is_file():
        raise click.UsageError(f"there is no file {path}")
    return Upload(path)


def _json(data: str) -> Any:
    if data == "-":
        return _parsed(_read("-"), "stdin")
    if data.startswith("@"):
        path = Path(data[1:])
        if not path.is_file():
            raise click.UsageError(f"there is no file {path}")
        return _parsed(_read(str(path)), str(path))
    return _parsed(data, "--data")


def _read(path: str) -> str:
    """A file, or stdin for `-`: UTF-8, whatever the terminal's encoding. Raises click.UsageError."""
    if path == "-" and sys.stdin is None:
        raise click.UsageError("stdin is closed")
    try:
        with click.open_file(path, encoding="utf-8") as opened:
            return str(opened.read())
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path} is not UTF-8: {error.reason}") from None
    except OSError as error:
        raise click.UsageError(f"{path} can't be read: {error.strerror}") from None


def _parsed(text: str, where: str) -> Any:
    try:
        return _sendable(json.loads(text), where)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{where} is no JSON: {error}") from None


def _sendable(value: Any, where: str) -> Any:
    """The value, unless the API would not take it: NaN, or half of a character. Raises click.UsageError."""
    try:
        encoded(value)
    except ValueError as error:
        raise click.UsageError(f"{where} can't be sent as JSON: {error}") from None
    return value

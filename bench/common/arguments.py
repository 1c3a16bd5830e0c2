"""Numbers and URLs on the command line, for argparse."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable

# Where the run command and `minikube tunnel` have the service, by default.
DEFAULT_URL = "http://127.0.0.1:8002"


def positive(text: str) -> float:
    """A finite number of more than 0."""
    return _finite(text, lambda value: value > 0, "of more than 0")


def at_least(least: float) -> Callable[[str], float]:
    """A finite number of at least that."""
    return lambda text: _finite(text, lambda value: value >= least, f"of at least {least:g}")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number of at least, and perhaps at most, that."""
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"a whole number {bounds} is needed, not {text!r}")
        return int(text)

    return read


def url(text: str) -> str:
    """A service's, with a host; it stays as it is written."""
    try:
        found = URL(text)
    except ValueError:
        found = URL()
    if found.scheme not in ("http", "https") or not found.host:
        raise argparse.ArgumentTypeError(f"a URL as {DEFAULT_URL} is needed, not {text!r}")
    return text


def _finite(text: str, is_allowed: Callable[[float], bool], bounds: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and is_allowed(value)):
        raise argparse.ArgumentTypeError(f"a number {bounds} is needed, not {text!r}")
    return value


def run_command(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None], *errors: type[Exception]
) -> None:
    """Reads the command line and runs it; ends the process with 2 and the error's sentence if one of `errors` comes."""
    try:
        run(parser.parse_args())
    except errors as error:
        parser.exit(2, f"{parser.prog}: {error}\n")

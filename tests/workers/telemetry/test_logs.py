"""The log's lines: their bounds, whatever is in an exception."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

import pytest

from workers.telemetry.logs import LineFormatter
from workers.telemetry.tracebacks import message_of, name_of, traceback_of

MEGABYTE = 1_000_000


class Mute(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise KeyboardInterrupt


def logged(error: Exception, text: str = "job failed") -> str:
    """The line of a record with an exception that was raised."""
    try:
        raise error
    except Exception:  # noqa: BLE001
        return LineFormatter().format(logging.LogRecord("test", logging.ERROR, __file__, 1, text, (), sys.exc_info()))


def test_a_message_of_thirty_megabytes_is_cut_in_the_log() -> None:
    text = logged(ValueError("x" * 30 * MEGABYTE))
    assert len(text) < 3000
    assert "ValueError: xxx" in text
    assert "more characters)" in text


def test_a_long_line_is_cut() -> None:
    text = logged(ValueError("short"), "y" * MEGABYTE)
    assert len(text) < 5000
    assert text.endswith("ValueError: short")


def test_all_of_a_long_chain_is_cut_but_the_last_exception_stays() -> None:
    def chain(depth: int) -> NoReturn:
        try:
            if depth:
                chain(depth - 1)
        except ValueError:
            raise ValueError("z" * 1500) from None
        raise ValueError("z" * 1500)

    def raise_all(count: int) -> NoReturn:
        try:
            if count:
                raise_all(count - 1)
            chain(0)
        except ValueError as error:
            raise ValueError(f"number {count} " + "z" * 1500) from error

    with pytest.raises(ValueError, match="number 100") as raised:
        raise_all(100)
    text = traceback_of(raised.value)
    assert len(text) < 51_000
    assert "ValueError: number 100 " in text


def test_a_message_of_several_lines_can_not_pass_for_lines_of_the_log() -> None:
    forged = "no\n2026-01-01T00:00:00.000Z INFO workers: stopped\r\x1b[31m\u2028red"
    try:
        try:
            raise ValueError(forged)
        except ValueError as error:
            raise RuntimeError(forged) from error
    except RuntimeError as error:
        record = logging.LogRecord("a", logging.ERROR, "", 1, "job failed: %s", (forged,), (type(error), error, None))
        first, *below = LineFormatter().format(record).split("\n")

    assert first.endswith(r"ERROR a: job failed: no\n2026-01-01T00:00:00.000Z INFO workers: stopped\r\x1b[31m\u2028red")
    assert below.count(r"    2026-01-01T00:00:00.000Z INFO workers: stopped\r\x1b[31m\u2028red") == 2
    assert not [line for line in below if line.startswith("2026") or not line.isprintable()]


def test_a_group_of_many_exceptions_is_cut() -> None:
    text = logged(ExceptionGroup("many", [ValueError("x" * MEGABYTE) for _ in range(1000)]))
    assert len(text) < 60_000


def test_an_exception_that_can_not_be_written_is_told_nevertheless() -> None:
    assert "Mute" in logged(Mute())
    assert (name_of(Mute()), message_of(Mute())) == (
        "Mute",
        "(an error whose message can't be made)",
    )

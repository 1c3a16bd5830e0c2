"""Children of the run command: their output, and how they end."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from deploy.local.processes import MAX_LINE_BYTES, Child, Printer, copy_lines, describe_exit, wants_colour
from tests.deploy.local.service import gone
from tests.processes import LoggedProcess

if TYPE_CHECKING:
    from pathlib import Path


class Terminal(io.BytesIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"one\ntwo\n", b"a   | one\na   | two\n"),
        (b"one\r\n\nno end", b"a   | one\na   | \na   | no end\n"),
        (b"", b""),
    ],
)
async def test_lines(written: bytes, shown: bytes) -> None:
    stream = io.BytesIO()
    await copy_lines(reader_of(written), Printer(stream, 3, colour=False), "a")
    assert stream.getvalue() == shown


async def test_long_line_comes_in_pieces() -> None:
    stream = io.BytesIO()
    await copy_lines(reader_of(b"x" * (3 * MAX_LINE_BYTES + 5) + b"\nend\n"), Printer(stream, 1, colour=False), "a")
    lines = stream.getvalue().splitlines()
    assert lines[-1] == b"a | end"
    assert b"".join(line.removeprefix(b"a | ") for line in lines[:-1]) == b"x" * (3 * MAX_LINE_BYTES + 5)
    assert max(map(len, lines)) < 2 * MAX_LINE_BYTES


def test_colours() -> None:
    stream = Terminal()
    printer = Printer(stream, 1, colour=wants_colour(stream, {}))
    printer.line("a", b"x")
    printer.line("b", b"x")
    first, second = stream.getvalue().splitlines()
    assert first.endswith(b"\x1b[0m x")
    assert first[:5] != second[:5]
    assert not wants_colour(stream, {"NO_COLOR": "1"})
    assert not wants_colour(io.BytesIO(), {})


def test_closed_stream_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as stream:
        Printer(stream, 1, colour=False).line("a", b"x")


async def test_child_gets_input_and_ends(tmp_path: Path) -> None:
    stream = io.BytesIO()
    command = [sys.executable, "-c", "import os; print(input(), os.getcwd()); raise SystemExit(3)"]
    child = await Child.start(
        Printer(stream, 1, colour=False), "a", command, os.environ, standard_input=b"hello\n", cwd=tmp_path
    )
    assert await child.wait() == 3
    assert stream.getvalue().decode() == f"a | hello {tmp_path.resolve()}\n"


@pytest.mark.parametrize(("ignores", "in_time"), [(False, True), (True, False)])
async def test_stop(ignores: bool, in_time: bool) -> None:
    stream = io.BytesIO()
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if ignores else ""
    program = f"import signal, time; {ignore} print('on', flush=True); time.sleep(1000)"
    child = await Child.start(Printer(stream, 1, colour=False), "a", [sys.executable, "-c", program], os.environ)
    async with asyncio.timeout(60):
        while b"on" not in stream.getvalue():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await child.stop(0.5 if ignores else 60) is in_time
    assert child.exit_code == (-signal.SIGKILL if ignores else -signal.SIGTERM)


@pytest.mark.fault
@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    program = """
import asyncio, os, sys
from deploy.local.processes import Child, Printer
async def main():
    printer = Printer(sys.stdout.buffer, 1, False)
    command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"]
    child = await Child.start(printer, "a", command, os.environ)
    await child.wait()
asyncio.run(main())
"""
    with LoggedProcess([sys.executable, "-c", program], os.environ, tmp_path / "parent.log") as parent:
        parent.wait_for("a | ")
        child = psutil.Process(int(parent.text.removeprefix("a | ")))
        parent.send(signal.SIGKILL)
        assert gone([child]) == []


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL"), (-63, "killed by signal 63")]
)
def test_describe_exit(code: int, text: str) -> None:
    assert describe_exit(code) == text

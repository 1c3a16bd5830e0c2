"""Processes that die with the one that started them, and the output of several on one terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_LINE_BYTES = 65_536
_TETHER = Path(__file__).with_name("tether.py")
# As `workers.telemetry.logs` writes it.
_LOG_HEAD = re.compile(r"^\S+Z [A-Z]+ \S+: ")
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class Printer:
    """Writes lines of several processes to one stream: `name       | line`."""

    def __init__(self, stream: BinaryIO, width: int, colour: bool) -> None:
        self._stream = stream
        self._width = width
        self._colour = colour
        self._prefixes: dict[str, bytes] = {}
        self._last: dict[str, bytes] = {}

    def last_line(self, name: str) -> str:
        """The last line that the process `name` wrote, without its time, level and logger; empty if there is none."""
        return _LOG_HEAD.sub("", self._last.get(name, b"").decode(errors="replace"))

    def line(self, name: str, line: bytes) -> None:
        """Writes one line (bytes without the newline) of the process `name`. A closed stream swallows it."""
        if name not in self._prefixes:
            prefix = f"{name:<{self._width}} |"
            if self._colour:
                prefix = f"\x1b[{_COLOURS[len(self._prefixes) % len(_COLOURS)]}m{prefix}\x1b[0m"
            self._prefixes[name] = prefix.encode() + b" "
        self._last[name] = line
        with contextlib.suppress(OSError):
            self._stream.write(self._prefixes[name] + line.rstrip(b"\r") + b"\n")
            self._stream.flush()


def wants_colour(stream: BinaryIO, environment: Mapping[str, str]) -> bool:
    """Whether `stream` is a terminal and nobody asked for no colours (NO_COLOR)."""
    return stream.isatty() and not environment.get("NO_COLOR")


async def copy_lines(reader: asyncio.StreamReader, printer: Printer, name: str) -> None:
    """Prints all that comes, line by line; a line longer than `MAX_LINE_BYTES` in pieces."""
    rest = b""
    while chunk := await reader.read(MAX_LINE_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            printer.line(name, line)
        if len(rest) >= MAX_LINE_BYTES:
            printer.line(name, rest)
            rest = b""
    if rest:
        printer.line(name, rest)


class TetheredProcess:
    """A process that dies with this one, however this one ends. Launcher, bench and tests start all of theirs so.

    It has a session of its own, so a terminal's Ctrl-C does not reach it. As a context it is killed with the block.
    On Linux the tether is bound to the thread that starts it: start none in a thread that ends before its process.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        death_signal: signal.Signals = signal.SIGKILL,
        stdin: int | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Starts `command` (its first item is a path); it gets `death_signal` if this process dies."""
        tether = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), str(int(death_signal))]
        self._told_to_stop = False
        self._process = subprocess.Popen(
            [*tether, *command],
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=0,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.reap()

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """As in `subprocess`: None while it runs, -N if it was killed by signal N."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.exit_code is None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process itself; does nothing once it has ended."""
        self._process.send_signal(number)

    def terminate(self) -> None:
        """SIGTERM to the process itself, once: how its own children end is its business."""
        if not self._told_to_stop:
            self._told_to_stop = True
            self.send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to its whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self, timeout_s: float | None = None) -> int:
        """Blocks until it has ended, and returns its exit code. Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout_s)

    async def wait(self) -> int:
        """Returns its exit code when it has ended; kills what it left behind in its process group."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def reap() -> None:
            self.reap()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(ended.set)

        # A thread for each, as asyncio has for its own children: a pool could be full of those that do not end.
        threading.Thread(target=reap, daemon=True).start()
        await ended.wait()
        self.kill()
        return self.reap()

    async def stop(self, patience_s: float) -> bool:
        """SIGTERM, then SIGKILL after `patience_s` seconds. Returns whether the first was enough."""
        self.terminate()
        try:
            await asyncio.wait_for(self.wait(), patience_s)
        except TimeoutError:
            self.kill()
            await self.wait()
            return False
        return True


class Child(TetheredProcess):
    """A part of the service: what it writes is printed under its name."""

    name: str
    _printer: Printer
    _output: asyncio.Task[None]

    @classmethod
    async def start(
        cls,
        printer: Printer,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        death_signal: signal.Signals = signal.SIGKILL,
        standard_input: bytes = b"",
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """Starts `command` with `standard_input` as its whole input."""
        child = cls(
            command,
            environment,
            death_signal=death_signal,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            pass_fds=pass_fds,
        )
        stdin, stdout = child._process.stdin, child._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("a child was started without pipes")
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stdout)
        child.name = name
        child._printer = printer
        child._output = asyncio.create_task(copy_lines(reader, printer, name))
        with contextlib.suppress(BrokenPipeError):
            stdin.write(standard_input)
        stdin.close()
        return child

    async def wait(self) -> int:
        """Returns its exit code when it has ended and what it wrote is printed."""
        code = await super().wait()
        await asyncio.wait([self._output], timeout=1)
        return code

    def describe_end(self) -> str:
        """How it ended and, if that was by itself and with an error, the last line that it wrote."""
        code = self.exit_code or 0
        last = self._printer.last_line(self.name) if code > 0 else ""
        return describe_exit(code) + (f": {last}" if last else "")


def describe_exit(code: int) -> str:
    """An exit code (as `Child.exit_code`) in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"

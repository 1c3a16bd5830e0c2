"""Child processes whose output is told apart by the name before each line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_LINE_BYTES = 65_536
_TETHER = Path(__file__).with_name("tether.py")
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class Printer:
    """Writes lines of several processes to one stream: `name       | line`."""

    def __init__(self, stream: BinaryIO, width: int, colour: bool) -> None:
        self._stream = stream
        self._width = width
        self._colour = colour
        self._prefixes: dict[str, bytes] = {}

    def line(self, name: str, line: bytes) -> None:
        """Writes one line (bytes without the newline) of the process `name`. A closed stream swallows it."""
        if name not in self._prefixes:
            prefix = f"{name:<{self._width}} |"
            if self._colour:
                prefix = f"\x1b[{_COLOURS[len(self._prefixes) % len(_COLOURS)]}m{prefix}\x1b[0m"
            self._prefixes[name] = prefix.encode() + b" "
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


class Child:
    """A process in a session of its own (so a terminal's Ctrl-C does not reach it) that dies with this one."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, output: asyncio.Task[None]) -> None:
        self.name = name
        self._process = process
        self._output = output
        self._told = False

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
        """Starts `command` (its first item is a path); it gets `death_signal` if this process dies."""
        tether = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), str(int(death_signal))]
        process = await asyncio.create_subprocess_exec(
            *tether,
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a child was started without pipes")
        child = cls(name, process, asyncio.create_task(copy_lines(process.stdout, printer, name)))
        process.stdin.write(standard_input)
        process.stdin.close()
        return child

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its process group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """As in `subprocess`: None while it runs, -N if it was killed by signal N."""
        return self._process.returncode

    async def wait(self) -> int:
        """Returns its exit code when it has ended and what it wrote is printed."""
        code = await self._process.wait()
        self.kill()  # whatever it left behind in its process group
        await asyncio.wait([self._output], timeout=1)
        return code

    def terminate(self) -> None:
        """SIGTERM to the process itself, once: how its own children end is its business."""
        if self._process.returncode is None and not self._told:
            self._told = True
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to its whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

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


def describe_exit(code: int) -> str:
    """An exit code (as `Child.exit_code`) in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"

"""Processes that are measured: started on given cores, told and heard line by line, killed whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from bench.common import placement
from deploy.local.processes import TetheredProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
_TAIL_BYTES = 2000


class BenchError(Exception):
    """Why a measurement could not be made."""


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What a measured process gets: these, and none of the settings that the user's own environment may hold."""
    return {**{name: os.environ[name] for name in _KEPT if name in os.environ}, **variables}


class MeasuredProcess(TetheredProcess):
    """A program whose standard output is read line by line; as a context it ends with the block."""

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        cores: frozenset[int] = placement.CORES,
        folder: Path = ROOT,
    ) -> None:
        self._name = " ".join(command[1:])
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._unread = b""
        with placement.on(cores):
            super().__init__(
                command,
                environment(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=folder,
            )

    def __exit__(self, *_: object) -> None:
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.pid).children(recursive=True)
        super().__exit__()
        # Some have a session of their own and outlive it.
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()

    def error(self, what: str) -> BenchError:
        """With the end of what it wrote to its standard error."""
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _TAIL_BYTES))
        said = self._errors.read().decode(errors="replace").strip()
        return BenchError(f"{self._name}: {what}" + (f"\n{said}" if said else ""))

    def message(self, timeout_s: float) -> dict[str, Any]:
        """The next line that is a JSON object. Raises BenchError if none comes in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(ValueError):
                message = json.loads(self._line(deadline))
                if isinstance(message, dict):
                    return message

    def _line(self, deadline: float) -> bytes:
        output = self._process.stdout
        assert output is not None
        while b"\n" not in self._unread:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([output], [], [], left_s)[0]:
                raise self.error("no answer in time")
            data = os.read(output.fileno(), 1 << 16)
            if not data:
                raise self.error(f"ended too early (exit code {self.reap()})")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def go_on(self) -> None:
        """Writes a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    def finish(self, timeout_s: float) -> None:
        """Waits for its end. Raises BenchError if that is late or no success."""
        try:
            code = self.reap(timeout_s)
        except subprocess.TimeoutExpired:
            raise self.error("did not end in time") from None
        if code:
            raise self.error(f"failed (exit code {code})")

    def cpu_s(self) -> float:
        """Processor time so far, of the process and its children, in seconds."""
        return sum(times.user + times.system for times in self._each(psutil.Process.cpu_times))

    def resident_bytes(self) -> int:
        """Memory of the process and its children, as if nobody else was there: what they share counts once."""
        found = self._each(psutil.Process.memory_full_info)
        return sum(one.uss for one in found) + max(one.rss - one.uss for one in found)

    def _each(self, ask: Callable[[psutil.Process], T]) -> list[T]:
        """What the process and its children answer. Raises BenchError if one of them is gone."""
        try:
            process = psutil.Process(self.pid)
            return [ask(one) for one in (process, *process.children(recursive=True))]
        except psutil.NoSuchProcess:
            raise self.error("ended too early") from None

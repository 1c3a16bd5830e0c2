"""The server that all libraries use in a run: in memory only, emptied before each measurement."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from bench.common import launch, placement
from bench.common.processes import BenchError, Process

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 20.0
# Longer than the server takes to rehash a table of 100,000 keys, and to free what a client had.
_REST_S = 2.0
_STILL_BYTES = 4096


class Server:
    """A running server: `url` is how to reach it, `version` what it says of itself."""

    def __init__(self, process: Process, port: int, version: str) -> None:
        self.process = process
        self.url = f"redis://127.0.0.1:{port}/0"
        self.version = version
        self._client = redis.Redis(port=port, socket_timeout=60)

    def flush(self) -> None:
        """Empties it, functions and scripts included."""
        self._client.flushall()
        self._client.function_flush()
        self._client.script_flush()

    def keys(self) -> int:
        """How many keys it holds."""
        return int(self._client.dbsize())  # type: ignore[arg-type]

    def length(self, name: str) -> int:
        """How many items a list has."""
        return int(self._client.llen(name))  # type: ignore[arg-type]

    def used_bytes(self) -> int:
        """Memory that it has in use, by its own count (INFO used_memory), once that has come to rest."""
        deadline = time.monotonic() + _PATIENCE_S
        before = 0
        while abs((now := int(self._client.info("memory")["used_memory"])) - before) > _STILL_BYTES:  # type: ignore[index]
            if time.monotonic() > deadline:
                raise BenchError("the server's memory does not come to rest")
            before = now
            time.sleep(_REST_S)
        return now

    def close(self) -> None:
        """Closes the connection to it."""
        self._client.close()


@contextlib.contextmanager
def running(name: str) -> Iterator[Server]:
    """A server for the block's time: `valkey` is the embedded one, else a program's name or path.

    Raises FileNotFoundError, BenchError.
    """
    binary, port = launch.program(name), launch.free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        Process(launch.command(binary, port, Path(folder)), {}, placement.REST) as process,
        contextlib.closing(_server(binary, process, port)) as server,
    ):
        try:
            launch.wait(port, lambda: process.running)
        except redis.RedisError:
            raise process.error("the server does not answer") from None
        yield server


def _server(binary: str, process: Process, port: int) -> Server:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"v=([\d.]+)", said)
    return Server(process, port, f"{said.split()[0]} {version.group(1) if version else said.strip()}")

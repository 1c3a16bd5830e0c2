"""A gateway and workers as processes on one server, to be killed, stopped and replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import psutil

from bench.common.server import free_port
from workers.stream import Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
TAIL_CHARS = 4000


class FleetError(Exception):
    """What a part of the fleet did not do, with what it said."""


class Restartable(Protocol):
    """A server that keeps its data and its URL while it is away."""

    url: str

    def start(self) -> None:
        """Returns when it answers."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...


class Part:
    """One process, `python -m MODULE`, with its log in a file of its own."""

    def __init__(self, name: str, module: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    @property
    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    async def wait_for(self, text: str) -> None:
        """Returns when it has logged `text`. Raises FleetError if it ends before, or takes too long."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while text not in self.text:
                    if not self.alive:
                        raise FleetError(f"{self.name} ended with {self.process.returncode}:\n{self.text}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise FleetError(f"no {text!r} in the log of {self.name}:\n{self.text}") from None

    def send(self, number: signal.Signals) -> None:
        """A signal."""
        self.process.send_signal(number)

    def kill(self) -> list[psutil.Process]:
        """SIGKILL; returns when it is gone, with the processes that it had started."""
        below = [] if not self.alive else psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        return below

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.send(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, PATIENCE_S)


class Fleet:
    """All parts on `server`, in a queue of their own. Settings of the parts by name, above those of `environment`.

    As a context: whatever still runs at its end is killed.
    """

    def __init__(
        self, server: Restartable, folder: Path, environment: Mapping[str, str] | None = None, /, **settings: str
    ) -> None:
        queue = f"faults-{uuid.uuid4().hex}"
        self.server = server
        self.folder = folder
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.workers: list[Part] = []
        self.gateway: Part | None = None
        self.killed = 0
        self.orphans: list[psutil.Process] = []
        self._parts: list[Part] = []
        self._environment = {
            **(os.environ if environment is None else environment),
            "REDIS_URL": server.url,
            "QUEUE_NAME": queue,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "MODEL_SETUP_S": "0",
            "MAX_ATTEMPTS": "1000",  # kills at random must not use them up
            "MAX_BACKLOG": "100000",
            **settings,
        }
        lease_s = float(settings.get("LEASE_S", "30"))
        self.stream = Stream(StreamSettings(redis_url=server.url, queue_name=queue, lease_s=lease_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in self._parts:
            part.kill()
        await self.stream.close()

    def _start(self, kind: str, module: str) -> Part:
        part = Part(f"{kind}-{len(self._parts)}", module, self.folder, self._environment)
        self._parts.append(part)
        return part

    async def start_gateway(self) -> Part:
        """Starts one; returns when it listens."""
        self.gateway = self._start("gateway", "gateway")
        await self.gateway.wait_for("Uvicorn running on")
        return self.gateway

    async def restart_gateway(self) -> None:
        """SIGKILL, and another."""
        assert self.gateway is not None
        self.gateway.kill()
        await self.start_gateway()

    def start_worker(self) -> Part:
        """Starts one, without waiting for its model."""
        worker = self._start("worker", "workers")
        self.workers.append(worker)
        return worker

    async def start_workers(self, count: int) -> list[Part]:
        """Starts several; returns when they have their models loaded."""
        started = [self.start_worker() for _ in range(count)]
        for worker in started:
            await worker.wait_for("ready: ")
        return started

    def ready_workers(self) -> list[Part]:
        """Those that have had their models loaded and have not been killed."""
        return [worker for worker in self.workers if "ready: " in worker.text]

    def kill_worker(self, worker: Part) -> None:
        """SIGKILL, without replacement."""
        self.killed += 1
        self.orphans += worker.kill()
        self.workers.remove(worker)

    async def restart_server(self, down_s: float) -> None:
        """SIGKILL, then `down_s` seconds nothing, then the server is back on its data."""
        self.server.kill()
        await asyncio.sleep(down_s)
        await asyncio.to_thread(self.server.start)

    async def drained(self) -> None:
        """Returns when nothing is outstanding; otherwise raises FleetError, which tells what is."""
        counts = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while counts is None or counts.outstanding or counts.waiting or counts.pending:
                    await asyncio.sleep(0.05)
                    counts = await self.stream.counts()
        except TimeoutError:
            raise FleetError(f"the queue did not drain: {counts}\n{self.account()}") from None

    def complaints(self) -> list[str]:
        """Lines of logs that tell of a mistake in the program, each with the part's name."""
        signs = ("Traceback", "ERROR", "CRITICAL", "Warning:", "never retrieved")
        return [
            f"{part.name}: {line}"
            for part in self._parts
            for line in part.text.splitlines()
            if any(sign in line for sign in signs)
        ]

    def account(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {part.name}\n{part.text[-TAIL_CHARS:]}" for part in self._parts if part.text)


def surviving(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended within some seconds."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]

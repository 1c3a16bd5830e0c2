"""A gateway and workers as processes on one server, to be killed, stopped and replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from typing import TYPE_CHECKING, Self

import psutil

from tests.fleet.model import ModelRun, read_runs
from tests.processes import PATIENCE_S, LoggedProcess, ProcessError, module
from tests.servers import free_port
from workers.stream import Stream, StreamSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.servers import Server

TAIL_CHARS = 4000
_SIGNS_OF_A_MISTAKE = ("Traceback", "ERROR", "CRITICAL", "Warning:", "never retrieved")


class ProcessFleet:
    """All parts on `server`, in a queue of their own. Settings of the parts by name, above those of `environment`.

    As a context: whatever still runs at its end is killed.
    """

    def __init__(
        self, server: Server, folder: Path, environment: Mapping[str, str] | None = None, /, **settings: str
    ) -> None:
        self.queue = f"faults-{uuid.uuid4().hex}"
        self.server = server
        self.folder = folder
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.workers: list[LoggedProcess] = []
        self.gateway: LoggedProcess | None = None
        self.killed = 0
        self.orphans: list[psutil.Process] = []
        self._parts: list[LoggedProcess] = []
        self._environment = {
            **(os.environ if environment is None else environment),
            "REDIS_URL": server.url,
            "QUEUE_NAME": self.queue,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "MODEL_SETUP_S": "0",
            "MAX_ATTEMPTS": "1000",  # kills at random must not use them up
            "MAX_BACKLOG": "100000",
            **settings,
        }
        lease_s = float(settings.get("LEASE_S", "30"))
        self.stream = Stream(StreamSettings(redis_url=server.url, queue_name=self.queue, lease_s=lease_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in self._parts:
            part.kill()
            part.reap()
        await self.stream.close()

    def _start(self, name: str) -> LoggedProcess:
        log = self.folder / f"{name.removesuffix('s')}-{len(self._parts)}.log"
        part = LoggedProcess(module(name), self._environment, log)
        self._parts.append(part)
        return part

    async def start_gateway(self) -> LoggedProcess:
        """Starts one; returns when it listens."""
        self.gateway = self._start("gateway")
        await self.gateway.says("Uvicorn running on")
        return self.gateway

    async def restart_gateway(self) -> None:
        """SIGKILL, and another."""
        assert self.gateway is not None
        self.gateway.kill()
        self.gateway.reap()
        await self.start_gateway()

    def start_worker(self) -> LoggedProcess:
        """Starts one, without waiting for its model."""
        worker = self._start("workers")
        self.workers.append(worker)
        return worker

    async def start_workers(self, count: int) -> list[LoggedProcess]:
        """Starts several; returns when they have their models loaded."""
        started = [self.start_worker() for _ in range(count)]
        for worker in started:
            await worker.says("ready: ")
        return started

    def ready_workers(self) -> list[LoggedProcess]:
        """Those that have had their models loaded and have not been killed."""
        return [worker for worker in self.workers if "ready: " in worker.text]

    def kill_worker(self, worker: LoggedProcess) -> None:
        """SIGKILL, without replacement. Its model's process becomes one of the `orphans`."""
        if worker.running:
            self.orphans += psutil.Process(worker.pid).children(recursive=True)
        worker.send(signal.SIGKILL)
        worker.reap()
        self.killed += 1
        self.workers.remove(worker)

    async def restart_server(self, down_s: float) -> None:
        """SIGKILL, then `down_s` seconds nothing, then the server is back on its data."""
        self.server.kill()
        await asyncio.sleep(down_s)
        self.server.spawn()
        await asyncio.to_thread(self.server.until_ready)

    async def drained(self) -> None:
        """Returns when nothing is outstanding; otherwise raises ProcessError, which tells what is."""
        counts = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while counts is None or counts.outstanding or counts.waiting or counts.pending:
                    await asyncio.sleep(0.05)
                    counts = await self.stream.counts()
        except TimeoutError:
            raise ProcessError(f"the queue did not drain: {counts}\n{self.account()}") from None

    def complaints(self) -> list[str]:
        """Lines of logs that tell of a mistake in the program, each with the part's name."""
        return [
            f"{part.name}: {line}"
            for part in self._parts
            for line in part.text.splitlines()
            if any(sign in line for sign in _SIGNS_OF_A_MISTAKE)
        ]

    def account(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {part.name}\n{part.text[-TAIL_CHARS:]}" for part in self._parts if part.text)


class RecordedFleet(ProcessFleet):
    """A fleet whose model keeps a record of its runs."""

    def __init__(self, server: Server, folder: Path, **settings: str) -> None:
        self._runs_file = folder / "runs"
        recorded = {"MODEL": "tests.fleet.model:Recorded", "RUNS_FILE": str(self._runs_file)}
        super().__init__(server, folder, **{**recorded, **settings})

    @property
    def runs(self) -> list[ModelRun]:
        """Every start of the model's `predict` so far."""
        return read_runs(self._runs_file)


def surviving(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended within some seconds."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]

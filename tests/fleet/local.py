"""Faults on this machine: a server of its own that writes before it answers, a gateway, and workers, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from bench.common.processes import environment
from bench.faults.place import Fault, PlaceError, Queue
from bench.load.observer import QueueSource
from tests.fleet.fleet import ProcessFleet, surviving
from tests.processes import ProcessError
from tests.servers import DURABLE, Server

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Sequence

    from bench.faults.place import Kind
    from bench.load.observer import Source

_AWAY_S = (0.3, 1.2)
_LOOK_S = 0.1
_PATIENCE_S = 60.0
_FAILURES = (ProcessError, OSError, RedisError)


@dataclass(frozen=True, slots=True)
class Layout:
    """What is started. `options` are the server's; without those of DURABLE it forgets what it acknowledged."""

    binary: str
    workers: int = 4
    service_s: float = 0.1
    lease_s: float = 5.0
    options: Sequence[str] = DURABLE


class LocalPlace:
    """Processes, with their logs in `folder`; every worker runs one job at a time."""

    def __init__(self, fleet: ProcessFleet, workers: int, sources: Sequence[Source]) -> None:
        self.url = fleet.base
        self.folder = fleet.folder
        self.sources = sources
        self._fleet = fleet
        self._workers = workers

    async def inflict(self, kind: Kind, rng: random.Random) -> Fault:
        """A worker is replaced at once; the server and the gateway are back when this returns."""
        try:
            match kind:
                case "worker":
                    return await self._kill_worker(rng)
                case "server":
                    away_s = rng.uniform(*_AWAY_S)
                    await self._fleet.restart_server(away_s)
                    return Fault(kind, f"the server was killed, and away for {away_s:.1f} s", self._workers)
                case "gateway":
                    await self._fleet.restart_gateway()
                    return Fault(kind, "the gateway was killed, and another started")
        except _FAILURES as error:
            raise PlaceError(f"the {kind} did not come back: {error}") from error

    async def _kill_worker(self, rng: random.Random) -> Fault:
        # Kills alone could use up a slow machine's time.
        async with asyncio.timeout(_PATIENCE_S):
            while not self._fleet.ready_workers():  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
        worker = rng.choice(self._fleet.workers)
        self._fleet.kill_worker(worker)
        self._fleet.start_worker()
        return Fault("worker", f"{worker.name} was killed, and another started", 1)

    async def queue(self) -> Queue | None:
        """Read from the server itself."""
        stream = self._fleet.stream
        try:
            counts = await stream.counts()
            entered = await stream.redis.xinfo_stream(f"{stream.prefix}:stream")
        except (RedisError, OSError):
            return None
        return Queue(counts.length, counts.waiting, counts.pending, counts.deferred, entered["entries-added"])

    async def complaints(self) -> list[str]:
        """Lines of logs that tell of a mistake; models that outlived their workers."""
        orphans = await asyncio.to_thread(surviving, self._fleet.orphans)
        return self._fleet.complaints() + [f"the model process {one.pid} outlived its worker" for one in orphans]


@contextlib.asynccontextmanager
async def local(layout: Layout) -> AsyncIterator[LocalPlace]:
    """All parts are up for the block's time, and nothing of them is left behind. Raises PlaceError."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadtime-faults-")))
        (folder / "server").mkdir()
        server = Server(layout.binary, folder / "server", *layout.options)
        stack.callback(server.kill)
        settings = {"LEASE_S": f"{layout.lease_s:g}", "MODEL_PREDICT_S": f"{layout.service_s:g}"}
        try:
            server.start()
            fleet = await stack.enter_async_context(ProcessFleet(server, folder, environment({}), **settings))
            await fleet.stream.open()
            await fleet.start_gateway()
            await fleet.start_workers(layout.workers)
        except _FAILURES as error:
            raise PlaceError(f"the service did not start: {error}") from error
        yield LocalPlace(fleet, layout.workers, [await stack.enter_async_context(QueueSource(fleet.base))])

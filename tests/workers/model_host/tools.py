"""What the tests of the model's processes share."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import psutil
import pytest
import uvloop

from workers.model_host.host import ModelHost
from workers.model_host.options import ModelOptions
from workers.wire.decode import loads
from workers.wire.encode import encode_exactly

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import TypeAlias

    Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]

# For tests of what happens in the model's process: the worker's kind of loop is enough.
ONE_LOOP = pytest.mark.parametrize("run", [uvloop.new_event_loop], ids=["uvloop"], indirect=True)
SCRIPTED = "tests.workers.models:Scripted"
MEGABYTE = 1_000_000
PATIENCE_S = 20.0


class TimeLimit:
    """A time limit that is over when the test says so: a loaded machine may take any time before that.

    It is each `asyncio.timeout` of `SECONDS`, a number that nothing else uses.
    """

    SECONDS = 4242.0

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._timeouts: list[asyncio.Timeout] = []
        timeout = asyncio.timeout

        def kept(delay_s: float | None) -> asyncio.Timeout:
            made = timeout(delay_s)
            if delay_s == self.SECONDS:
                self._timeouts.append(made)
            return made

        monkeypatch.setattr(asyncio, "timeout", kept)

    def end(self) -> None:
        """Ends those that have begun."""
        for one in self._timeouts:
            with contextlib.suppress(RuntimeError):  # what it limits is over
                one.reschedule(asyncio.get_running_loop().time())


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def open_fds() -> set[str]:
    """Each with what it is of, so that a number that is used anew counts as another."""
    found = set[str]()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found.add(f"{fd.name} {fd.readlink()}")
    return found


USUAL = {"load_timeout_s": PATIENCE_S, "memory_limit_bytes": 0, "max_result_bytes": MEGABYTE, "stop_grace_s": 0.5}


def options(model: str = SCRIPTED, **others: Any) -> ModelOptions:
    return ModelOptions(model, **{**USUAL, **others})


def make(
    model: str = SCRIPTED,
    size: int = 1,
    *,
    on_room: Callable[[int], None] = lambda _count: None,
    on_load_s: Callable[[float], None] = lambda _seconds: None,
    **others: Any,
) -> ModelHost:
    return ModelHost(options(model, **others), size, on_room, on_load_s)


@contextlib.asynccontextmanager
async def running(host: ModelHost) -> AsyncIterator[ModelHost]:
    """`host` with its processes loaded; then stopped, with none left."""
    before = children()
    task = asyncio.create_task(host.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await host.loaded()
        yield host
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert host.count == 0
        assert children() <= before


async def do(host: ModelHost, *script: Any, timeout_s: float | None = None) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return orjson.loads(await host.predict(orjson.dumps(script), timeout_s))


async def at_once(host: ModelHost, *scripts: Any, timeout_s: float | None = None) -> list[Any]:
    """What becomes of jobs that come at the same time: results, and exceptions in their places."""
    async with asyncio.timeout(PATIENCE_S):
        calls = [host.predict(encode_exactly(script), timeout_s) for script in scripts]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    return [loads(outcome) if isinstance(outcome, bytes) else outcome for outcome in outcomes]


def begun(host: ModelHost, *script: Any, timeout_s: float | None = None) -> asyncio.Task[bytes]:
    """A job that runs beside the test."""
    return asyncio.create_task(host.predict(orjson.dumps(script), timeout_s))


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """Neither running nor a zombie of ours."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE and process.ppid() != os.getpid()
    except psutil.NoSuchProcess:
        return True


async def told(file: Path) -> int:
    await eventually(file.exists)
    return int(file.read_text())

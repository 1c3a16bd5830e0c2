"""The overview of all queues, computed once for everybody who listens to it in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import orjson

from gateway.page.overview import patch_of, queue_document, recent_steps
from workers.stream import HISTORY_STEP_S, end, is_unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.page.steps import Step
    from workers.stream import QueueGlance, Stream

    Document = dict[str, Any]

logger = logging.getLogger(__name__)

BYTES_PER_S = 2048
_LEAST_PERIOD_S = 1.0
# Of the frame around a change, so that it counts as well.
_FRAME_BYTES = 80


class Side:
    """What one kind of listener is told: those that may see everybody's jobs, or the others."""

    def __init__(self) -> None:
        self.document: Document = {}
        self.patch: Document = {}


class OverviewHub:
    """Reads the queues once a second while somebody listens; less often if more than 2 KB a second change."""

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self._streams = streams
        self._steps: dict[str, list[Step]] = {}
        self._steps_due_s = 0.0
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._listeners = 0
        self._sides = {True: Side(), False: Side()}
        self.version = 0
        self._now_ms = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[asyncio.Task[None]]:
        """Somebody listens, as long as the reading, the task, is not done: then nothing more comes.

        The first one starts the reading, which ends with the last one, or if an error is unexpected; it is then logged.
        """
        self._listeners += 1
        if self._task is None or self._task.done():
            # Nobody is told of the queues as an earlier reading saw them.
            self._sides, self.version = {True: Side(), False: Side()}, 0
            self._task = asyncio.create_task(self._run(), name="overview")
            self._task.add_done_callback(_log_failure)
        try:
            yield self._task
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._task.cancel()
                self._task = None

    async def next(self, seen: int, sees_jobs: bool, timeout_s: float) -> tuple[int, bytes]:
        """The version after `seen` (0 is none), and its event; empty if there is none in time.

        The event is `overview` with the whole document, or `change` with a merge patch for who has the version before.
        """
        async with self._news:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait_for(lambda: self.version > seen)
            except TimeoutError:
                return seen, b""
        side = self._sides[sees_jobs]
        if seen and self.version == seen + 1:
            return self.version, _event(b"change", {"now": self._now_ms, "patch": side.patch})
        return self.version, _event(b"overview", {"now": self._now_ms, **side.document})

    async def read(self, sees_jobs: bool) -> Document:
        """The document now, for who does not listen. Raises what the stream raises."""
        glances = await self._read()
        now_ms = next(iter(glances.values())).now_ms
        return {"now": now_ms, **self._documents(glances)[sees_jobs]}

    async def close(self) -> None:
        """Ends the reading."""
        if self._task is not None:
            await end(self._task)

    async def _run(self) -> None:
        while True:
            began_s = time.monotonic()
            size = await self._turn()
            period_s = max(_LEAST_PERIOD_S, (size + _FRAME_BYTES) / BYTES_PER_S)
            await asyncio.sleep(max(0.05, began_s + period_s - time.monotonic()))

    async def _turn(self) -> int:
        """Looks once. Returns the bytes of what has changed."""
        try:
            glances = await self._read()
            documents = self._documents(glances)
            self._now_ms = next(iter(glances.values())).now_ms
        except Exception as error:
            if not is_unavailable(error):
                raise
            last = {sees: {**side.document, "reachable": False} for sees, side in self._sides.items()}
            documents = {sees: {"queues": {}, **document} for sees, document in last.items()}
        for sees, side in self._sides.items():
            side.patch, side.document = patch_of(side.document, documents[sees]), documents[sees]
        changed = self._sides[True].patch
        if not changed:
            return 0
        async with self._news:
            self.version += 1
            self._news.notify_all()
        return len(orjson.dumps(changed))

    async def _read(self) -> dict[str, QueueGlance]:
        glances = {name: await stream.overviews.read() for name, stream in self._streams.items()}
        if time.monotonic() >= self._steps_due_s:
            for name, stream in self._streams.items():
                self._steps[name] = await recent_steps(stream.overviews)
            self._steps_due_s = time.monotonic() + HISTORY_STEP_S / 4
        return glances

    def _documents(self, glances: Mapping[str, QueueGlance]) -> dict[bool, Document]:
        return {
            sees: {
                "reachable": True,
                "queues": {
                    name: queue_document(glance, self._steps.get(name, []), sees) for name, glance in glances.items()
                },
            }
            for sees in (True, False)
        }


def _log_failure(reading: asyncio.Task[None]) -> None:
    if not reading.cancelled() and (error := reading.exception()) is not None:
        logger.error("the overview can't be read: the answers to its listeners end", exc_info=error)


def _event(kind: bytes, document: Document) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind, orjson.dumps(document))

"""Finishes on their way to the server: those that come while a round trip is under way share the next one."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from workers.stream.stream import Finish

    OnAnswer: TypeAlias = Callable[[Finish, bool | None], None]

logger = logging.getLogger(__name__)

_MAX_ITEMS = 500
_MAX_BYTES = 8 * 1024 * 1024  # a batch ends with the one that fills this


class Outbox:
    """Sends finishes in batches, in order. Its callers need not wait: a cancel of theirs stops nothing here.

    `send` answers with as many booleans as it gets finishes. Each goes to that finish's `on_answer`; None
    stands for an error of `send` (which is logged). There is no future per job, as that costs more than the rest.
    """

    def __init__(self, send: Callable[[Sequence[Finish]], Awaitable[Sequence[bool]]]) -> None:
        self._send = send
        self._waiting: deque[tuple[Finish, OnAnswer]] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, finish: Finish, on_answer: OnAnswer) -> None:
        """Queues a finish; `on_answer` is called once the server has answered it, and must not raise."""
        self._waiting.append((finish, on_answer))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain(), name="finishes")

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                answers = await self._send_all([finish for finish, _ in batch])
                for (finish, on_answer), answer in zip(batch, answers, strict=True):
                    on_answer(finish, answer)
        finally:
            self._task = None

    def _next_batch(self) -> list[tuple[Finish, OnAnswer]]:
        batch: list[tuple[Finish, OnAnswer]] = []
        size_bytes = 0
        while self._waiting and len(batch) < _MAX_ITEMS and size_bytes < _MAX_BYTES:
            batch.append(self._waiting.popleft())
            size_bytes += len(batch[-1][0].body)
        return batch

    async def _send_all(self, finishes: list[Finish]) -> Sequence[bool | None]:
        try:
            return await self._send(finishes)
        except Exception as error:
            if len(finishes) == 1:
                logger.exception("job %s: its outcome could not be recorded", finishes[0].id)
                return [None]
            # One that the server won't take must not take the others with it.
            logger.warning("%d finishes were refused (%s), sending them one by one", len(finishes), error)
            return [answer for finish in finishes for answer in await self._send_all([finish])]

    async def close(self) -> None:
        """Gives up what has not been sent."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

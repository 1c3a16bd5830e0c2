"""The jobs that one process runs at the same time, as the worker sees them: which answer and which event is whose."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from workers.model_host.errors import ModelCrashed
from workers.model_host.protocol.frames import EVENTS, Frame, FrameError

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.protocol.frames import FrameReader


class _AtHand(NamedTuple):
    answer: asyncio.Future[Frame]
    on_event: Callable[[str, bytes], None] | None


class CallsAtHand:
    """Takes frames by the `reader`, whose notices are to be handed to `on_notice`. Its length is their number."""

    def __init__(self, reader: FrameReader) -> None:
        self._reader = reader
        self._calls: dict[int, _AtHand] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def begin(self, number: int, on_event: Callable[[str, bytes], None] | None) -> asyncio.Future[Frame]:
        """The answer to the job with this number, which is about to be sent; `on_event` gets its events.

        Only answers of jobs that have begun and not ended are taken.
        """
        if not self._calls:
            self._reader.expect_any(self._calls)
        answer = asyncio.get_running_loop().create_future()
        self._calls[number] = _AtHand(answer, on_event)
        return answer

    def end(self, number: int) -> None:
        """Nothing more is to come of this job."""
        del self._calls[number]

    def feed(self, data: bytes) -> None:
        """Takes what has come over the connection. Raises FrameError."""
        for frame in self._reader.feed_all(data):
            answer = self._calls[frame.job].answer
            if answer.done():
                raise FrameError(f"a second answer to job {frame.job}")
            answer.set_result(frame)

    def feed_last_words(self, data: bytes) -> None:
        """Takes what has come by another way, after the connection's end. Raises FrameError."""
        self._reader.expect_any(self._calls)
        self.feed(data)

    def on_notice(self, notice: Frame) -> None:
        """Hands an event to whom it is for."""
        on_event = self._calls[notice.job].on_event
        if notice.kind in EVENTS and on_event is not None:
            on_event(EVENTS[notice.kind], notice.body)

    def crash(self, how: str) -> None:
        """Ends those that have no answer with a ModelCrashed of their own."""
        for call in self._calls.values():
            if not call.answer.done():
                call.answer.set_exception(ModelCrashed(how))
                call.answer.exception()  # nobody may wait for it any more

"""Large results: fetched only while there is room for them, so that many at once do not fill the memory."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from gateway.http.errors import unavailable
from workers.objects.names import rooted

if TYPE_CHECKING:
    from gateway.http.connection.budget import ByteBudget
    from gateway.http.request import HttpRequest
    from gateway.stores.stored import StoredJsons
    from workers.stream import JobView, Stream

# Fetched at the same time, or a single one that is larger: until it is sent, a result takes up to three times its size.
_FETCH_BYTES = 8 * 1024 * 1024
_PATIENCE_S = 10.0
_LOOK_S = 0.01
# A result waits for clients that still read, for this many looks. Then the one that began first gives way.
_PATIENT_LOOKS = 100


class _Reservation:
    """What a result takes from its fetch until its request has been answered."""

    def is_moving(self) -> bool:
        """See `Holder`."""
        return True

    def give_way(self) -> bool:
        """See `Holder`."""
        return False


class LargeResults:
    """Fetches the results that `view_small` leaves out, or are `stored`, in the order of the requests."""

    def __init__(
        self, stream: Stream, budget: ByteBudget, stored: StoredJsons | None = None, root_path: str = ""
    ) -> None:
        self._stored = stored
        self._stream = stream
        self._root_path = root_path
        self._budget = budget
        self._turn = asyncio.Lock()
        self._fetching_bytes = 0

    async def completed(self, request: HttpRequest, view: JobView) -> JobView | None:
        """The job with its result, whose bytes are held until the task that asks for it ends: its request's.

        Raises Problem 503 if there is no room for 10 s, ClientDisconnect, and what the stream does.
        """
        if not (size_bytes := self.missing_bytes(view)):
            return self.shown(view)
        # One that is larger than all that may be held is fetched while nothing else is held.
        size_bytes = min(size_bytes, self._budget.limit_bytes)
        try:
            async with asyncio.timeout(_PATIENCE_S), self._turn:
                await self._wait_for_room(request, size_bytes)
                self._fetching_bytes += size_bytes
        except TimeoutError:
            raise unavailable("too many large results are asked for") from None
        self._reserve(size_bytes)
        try:
            found = await self._stream.view(view.id, with_result=True) if view.unsent_bytes else view
            if found and self._stored:
                found = await self._stored.completed(found)
            return found and self.shown(found)
        finally:
            self._fetching_bytes -= size_bytes

    def missing_bytes(self, view: JobView) -> int:
        """What the result of a job has that is not in its record as it was sent; 0 if all of it is there."""
        return view.unsent_bytes or (self._stored.size_bytes(view) if self._stored else 0)

    def shown(self, view: JobView) -> JobView:
        """The job with the URLs of its files below ROOT_PATH: workers don't know that path."""
        if not self._root_path or view.result is None:
            return view
        result, notes = (rooted(part, view.id, self._root_path) for part in (view.result, view.notes))
        return replace(view, result=result, notes=notes)

    async def _wait_for_room(self, request: HttpRequest, size_bytes: int) -> None:
        for look in itertools.count():
            if request.gone:
                raise ClientDisconnect
            may_fetch = not self._fetching_bytes or self._fetching_bytes + size_bytes <= _FETCH_BYTES
            if may_fetch and self._budget.make_room(size_bytes, only_still=look < _PATIENT_LOOKS):
                return
            await asyncio.sleep(_LOOK_S)

    def _reserve(self, size_bytes: int) -> None:
        reservation, task = _Reservation(), asyncio.current_task()
        if task is None:
            raise RuntimeError("a result is fetched by a task")
        self._budget.hold(reservation, size_bytes)
        task.add_done_callback(lambda _: self._budget.release(reservation))

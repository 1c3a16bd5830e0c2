"""A batch: many jobs that were pushed at once."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from .connection.sse import followed, lines_of
from .connection.transport import path_to
from .errors import GatewayUnavailable, LeadtimeError, job_error
from .jobs import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .connection.transport import Transport

_PLACE_DIGITS = 8  # at the end of a job's id


class BatchOutcome(NamedTuple):
    """One job of a batch: `place` is its input's, from 0; `result` is what the model returned."""

    id: str
    place: int
    status: str
    result: Any
    error: dict[str, Any] | None

    def value(self) -> Any:
        """The result. Raises FailedJob, CancelledJob or JobNotFinished if there is none."""
        if self.status != "finished":
            raise job_error(self.id, self.status, self.error)
        return self.result


class AsyncBatch:
    """A batch by its id."""

    def __init__(self, transport: Transport, batch_id: str) -> None:
        self._transport = transport
        self.id = batch_id

    def __repr__(self) -> str:
        return f"AsyncBatch({self.id!r})"

    async def status(self) -> dict[str, Any]:
        """`count`, `queued`, `ended`, and `counts`: how many of its jobs have each status."""
        return await self._status(0)

    async def wait(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The same, once all of its jobs have ended. Raises WaitOver."""

        async def look(wait_s: int) -> dict[str, Any] | None:
            status = await self._status(wait_s)
            return status if status["ended"] else None

        return await until(self.id, look, timeout_s)

    async def results(self) -> AsyncIterator[BatchOutcome]:
        """Each job in the order of the inputs, once all have ended. Raises LeadtimeError."""
        count, seen = int((await self.wait())["count"]), 0
        patience = self._transport.patience()
        while seen < count:
            failure: LeadtimeError = GatewayUnavailable("the results were cut before their end")
            try:
                async with self._transport.open("GET", path_to("batches", self.id, "results")) as response:
                    place = 0
                    async for line in lines_of(response.content.iter_any()):
                        if place == seen:
                            patience.succeeded()
                            seen += 1
                            yield outcome_of(line)
                        place += 1
            except LeadtimeError as error:
                failure = error
            if seen < count:
                await patience.pause(failure)

    async def as_completed(self) -> AsyncIterator[BatchOutcome]:
        """Each job once it has ended, those first that end first. Raises LeadtimeError."""
        seen: set[int] = set()
        async with aclosing(followed(self._transport, path_to("batches", self.id, "results"))) as events:
            async for event in events:
                # Those that ended in the millisecond of a cut come again.
                if event.kind == "job" and (outcome := outcome_of(event.data)).place not in seen:
                    seen.add(outcome.place)
                    yield outcome

    async def cancel(self) -> int:
        """Cancels the jobs that have not ended; how many these were."""
        answer = await self._transport.call("POST", path_to("batches", self.id, "cancel"))
        return int(answer.json()["cancelled"])

    async def _status(self, wait_s: int) -> dict[str, Any]:
        return dict((await self._transport.call("GET", path_to("batches", self.id), wait_s=wait_s)).json())


def outcome_of(line: bytes) -> BatchOutcome:
    """One job of a batch, of its line."""
    document = json.loads(line)
    job_id = str(document["id"])
    place = int(job_id[-_PLACE_DIGITS:], 16)
    return BatchOutcome(job_id, place, document["status"], document.get("result"), document.get("error"))

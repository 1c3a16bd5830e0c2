"""A job that was pushed: its status, result and events, and its end."""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from .connection.sse import followed
from .connection.transport import path_to
from .errors import ConflictingState, NotFound, WaitOver, job_error
from .options import ENDS, JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .connection.transport import Transport

T = TypeVar("T")

# Each request waits for at most so long: what is between client and gateway may cut longer silences.
_WAIT_S = 50


class ToldEvent(NamedTuple):
    """What a job has told: `kind` is `begin`, `progress`, `log`, `partial` or `end`; `place` is empty if it has none.

    The value of an `end` has the members of the status document, and of the data document if there is a result.
    """

    place: str
    kind: str
    value: Any


class AsyncJob:
    """A job by its id."""

    def __init__(self, transport: Transport, job_id: str) -> None:
        self._transport = transport
        self.id = job_id

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r})"

    async def status(self) -> JobStatus:
        """The status document, now. Raises NotFound if the job is not kept any more."""
        return await self._status(0)

    async def wait(self, timeout_s: float | None = None) -> JobStatus:
        """The status document once the job has ended, however. Raises WaitOver."""

        async def look(wait_s: int) -> JobStatus | None:
            status = await self._status(wait_s)
            return status if status["status"] in ENDS else None

        return await until(self.id, look, timeout_s)

    async def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The data document once the job has finished: the model's members, or `output`, beside the service's.

        Raises FailedJob, CancelledJob, WaitOver, NotFound.
        """
        return await until(self.id, self._data, timeout_s)

    async def events(self, after: str = "") -> AsyncIterator[ToldEvent]:
        """What the job tells, as it comes, behind the place `after`; the last is its `end`.

        A connection that is cut is made again: no event is left out, and none comes twice. Raises LeadtimeError.
        """
        async with aclosing(followed(self._transport, path_to("events", self.id), after)) as events:
            async for event in events:
                yield ToldEvent(event.id, event.kind, json.loads(event.data))

    async def logs(self) -> AsyncIterator[ToldEvent]:
        """The log lines that the job has told until now, as events of the kind `log`. Raises LeadtimeError."""
        query: dict[str, str] = {}
        while True:
            page = (await self._transport.call("GET", path_to("jobs", self.id, "logs"), query=query)).json()
            if page["next"] in (None, query.get("after")):
                return
            for line in page["lines"]:
                yield ToldEvent(line["place"], "log", line["text"])
            query["after"] = page["next"]

    async def cancel(self) -> bool:
        """Ends the job if it has not ended. False if it had ended before."""
        try:
            await self._transport.call("POST", path_to("cancel", self.id))
        except ConflictingState as conflict:
            # Perhaps by the try before this one, whose answer was lost.
            return conflict.job_status == "cancelled"
        return True

    async def retry(self) -> None:
        """Runs a failed job again. Raises ConflictingState if it has not failed, or its input is gone."""
        await self._transport.call("POST", path_to("retry", self.id), is_repeatable=False)

    async def delete(self) -> None:
        """Ends the job if it has not ended, and has the service forget it. No error if there is none."""
        try:
            await self._transport.call("DELETE", path_to("jobs", self.id))
        except NotFound:
            return

    async def _status(self, wait_s: int) -> JobStatus:
        answer = await self._transport.call("GET", path_to("status", self.id), wait_s=wait_s)
        return cast("JobStatus", answer.json())

    async def _data(self, wait_s: int) -> dict[str, Any] | None:
        try:
            answer = await self._transport.call("GET", path_to("data", self.id), wait_s=wait_s)
        except NotFound as missing:
            status = missing.members.get("job_status")
            if status is None:
                raise
            if status in ENDS:
                raise job_error(self.id, str(status), missing.members.get("error")) from None
            return None
        return cast("dict[str, Any]", answer.json())


async def until(what_id: str, look: Callable[[int], Awaitable[T | None]], timeout_s: float | None) -> T:
    """What `look` finds, which is told how many seconds it may wait. Raises WaitOver."""
    if timeout_s is not None and math.isnan(timeout_s):
        raise ValueError("NaN is no time to wait")
    loop = asyncio.get_running_loop()
    deadline = None if timeout_s is None else loop.time() + timeout_s
    try:
        async with asyncio.timeout_at(deadline):
            while True:
                left_s = _WAIT_S if deadline is None else math.ceil(min(_WAIT_S, deadline - loop.time()))
                if (found := await look(max(left_s, 1))) is not None:
                    return found
    except TimeoutError:
        raise WaitOver(what_id, timeout_s or 0) from None

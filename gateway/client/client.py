"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Sized
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from .batches import AsyncBatch
from .connection.transport import Transport, path_to
from .errors import LeadtimeError
from .files import read_file, save_file, without_uploads
from .jobs import AsyncJob
from .mapping import mapped
from .options import JobStatus, SubmitOptions, encoded, query_of
from .progress import counted
from .queues.figures import QueueFigures, figures_of
from .queues.overview import QueueView, views_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from .connection.transport import HttpAnswer

DEFAULT_URL = "http://127.0.0.1:8002"
"""The gateway of `python3 deploy/local up`."""

_JSON = {"Content-Type": "application/json"}
_END_S = 5.0
_LINES = {"Content-Type": "application/x-ndjson"}


class AsyncClient:
    """A client of the gateway at `url` (or LEADTIME_URL), with an API key if it has any (or LEADTIME_API_KEY).

    Requests that can't be served (a lost connection, 429, 502 to 504) are made again for `patience_s` seconds, as
    `Retry-After` says. Each push has an idempotency key, so that it becomes one job however often it is sent.
    `connections` is how many there are at most; one that waits takes one.
    """

    def __init__(self, url: str = "", api_key: str = "", *, patience_s: float = 60.0, connections: int = 200) -> None:
        url = url or os.environ.get("LEADTIME_URL", "") or DEFAULT_URL
        api_key = api_key or os.environ.get("LEADTIME_API_KEY", "")
        self._transport = Transport(url, api_key, patience_s, connections)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.close()

    async def run(
        self, value: Any, *, wait_timeout_s: float | None = None, **options: Unpack[SubmitOptions]
    ) -> dict[str, Any]:
        """The data document of an input's job, once it has finished. If the caller is cancelled, so is the job.

        Raises FailedJob, CancelledJob, RequestRefused, GatewayUnavailable; WaitOver, after which the job goes on.
        """
        value = await without_uploads(self._transport, value)
        options.setdefault("idempotency_key", uuid.uuid4().hex)
        job: AsyncJob | None = None
        try:
            job = await self._push("/push", value, options)
            return await job.result(wait_timeout_s)
        except asyncio.CancelledError:
            await self._end(job, value, options)
            raise

    async def submit(self, value: Any, **options: Unpack[SubmitOptions]) -> AsyncJob:
        """Pushes an input: any JSON value, with an Upload for each file in it. Raises LeadtimeError."""
        return await self._push("/push", await without_uploads(self._transport, value), options)

    async def submit_call(
        self,
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> AsyncJob:
        """Pushes a job of a function that `PUSH_FUNCTIONS` names. Raises LeadtimeError."""
        value = {"args": list(args), "kwargs": dict(kwargs or {})}
        return await self._push(path_to("push", function), value, options)

    async def submit_batch(self, inputs: Iterable[Any], **options: Unpack[SubmitOptions]) -> AsyncBatch:
        """Pushes many inputs at once, with an Upload for each file in them: all become jobs, or none does.

        Raises LeadtimeError, OSError.
        """
        values = await without_uploads(self._transport, list(inputs))
        body = b"\n".join(encoded(value) for value in values)
        answer = await self._send("/batches", body, _LINES, options)
        return AsyncBatch(self._transport, answer.json()["id"])

    async def map(
        self,
        inputs: Iterable[Any],
        concurrency: int = 16,
        *,
        progress: bool = False,
        return_exceptions: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> AsyncIterator[Any]:
        """The data document of each input, in their order; `concurrency` jobs are there at a time.

        Inputs are taken as they are needed. The first job that does not finish ends it with its exception, and cancels
        the jobs that have not ended; with `return_exceptions` the exception takes the result's place. `progress` shows
        a bar on stderr.
        """
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        if "idempotency_key" in options:
            raise ValueError("jobs with one idempotency key are one job: leave it out")

        async def run(value: Any) -> dict[str, Any]:
            return await self.run(value, **options)

        total = len(inputs) if isinstance(inputs, Sized) else None
        with counted(total, progress) as on_done:
            async with aclosing(mapped(run, inputs, concurrency, on_done, return_exceptions)) as results:
                async for result in results:
                    yield result

    def job(self, job_id: str) -> AsyncJob:
        """A job by its id, without a request."""
        return AsyncJob(self._transport, job_id)

    def batch(self, batch_id: str) -> AsyncBatch:
        """A batch by its id, without a request."""
        return AsyncBatch(self._transport, batch_id)

    async def jobs(self, *, status: str = "", tag: str = "", queue: str = "") -> AsyncIterator[JobStatus]:
        """The status documents of all jobs of the key, newest first, page by page. Raises LeadtimeError."""
        named = {"status": status, "tag": tag, "queue": queue}
        query = {name: value for name, value in named.items() if value}
        while True:
            page = (await self._transport.call("GET", "/jobs", query=query)).json()
            for document in page["jobs"]:
                yield document
            if page["next"] is None:
                return
            query["before"] = page["next"]

    async def read_file(self, file: Mapping[str, Any] | str) -> bytes:
        """The bytes of a file that a data document names: an object with `url`, or that URL. Raises LeadtimeError."""
        return await read_file(self._transport, file)

    async def save_file(self, file: Mapping[str, Any] | str, to: str | Path) -> Path:
        """Writes such a file to a path, which has it whole or not at all. Raises LeadtimeError, OSError."""
        return await save_file(self._transport, file, Path(to))

    async def webhook_secrets(self) -> list[str]:
        """The secrets that this key's webhooks are signed with, the one to use first."""
        return list((await self._transport.call("GET", "/webhooks/secrets")).json()["secrets"])

    async def queues(self) -> list[QueueFigures]:
        """What the gateway says of each of its queues. Raises NotFound if its metrics have a port of their own."""
        return figures_of((await self._transport.call("GET", "/metrics")).body.decode())

    async def overview(self) -> list[QueueView]:
        """Each queue as the page's first view shows it, by name: figures, workers, the scaler's decision."""
        return views_of((await self._transport.call("GET", "/overview")).json())

    async def _end(self, job: AsyncJob | None, value: Any, options: SubmitOptions) -> None:
        """Cancels a job, or that of a push that was cut; what can't be done in some seconds is left."""
        try:
            async with asyncio.timeout(_END_S):
                # Whether the push has arrived is not known: sent again with its key, it tells the id.
                job = job or await self._push("/push", value, options)
                await job.cancel()
        except (LeadtimeError, TimeoutError):
            return

    async def _push(self, path: str, value: Any, options: SubmitOptions) -> AsyncJob:
        answer = await self._send(path, encoded(value), _JSON, options)
        return AsyncJob(self._transport, answer.json()["id"])

    async def _send(self, path: str, body: bytes, headers: Mapping[str, str], options: SubmitOptions) -> HttpAnswer:
        key = options.get("idempotency_key") or uuid.uuid4().hex
        own = {**headers, "Idempotency-Key": key}
        return await self._transport.call("POST", path, query=query_of(options), headers=own, body=lambda: body)

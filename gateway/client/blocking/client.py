"""The client for programs without asyncio: each method is that of the asynchronous client, and waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from ..client import AsyncClient
from .loop_thread import LoopThread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ..batches import AsyncBatch, BatchOutcome
    from ..jobs import AsyncJob, ToldEvent
    from ..options import JobStatus, SubmitOptions
    from ..queues.figures import QueueFigures
    from ..queues.overview import QueueView


class BlockingJob:
    """A job by its id; AsyncJob says what each method does."""

    def __init__(self, thread: LoopThread, job: AsyncJob) -> None:
        self._thread = thread
        self._job = job
        self.id = job.id

    def __repr__(self) -> str:
        return f"BlockingJob({self.id!r})"

    def status(self) -> JobStatus:
        """The status document, now."""
        return self._thread.call(self._job.status())

    def wait(self, timeout_s: float | None = None) -> JobStatus:
        """The status document once the job has ended, however. Raises WaitOver."""
        return self._thread.call(self._job.wait(timeout_s))

    def result(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The data document once the job has finished. Raises FailedJob, CancelledJob, WaitOver, NotFound."""
        return self._thread.call(self._job.result(timeout_s))

    def events(self, after: str = "") -> Iterator[ToldEvent]:
        """What the job tells, as it comes; the last is its `end`."""
        return self._thread.iterate(self._job.events(after))

    def logs(self) -> Iterator[ToldEvent]:
        """The log lines that the job has told until now."""
        return self._thread.iterate(self._job.logs())

    def cancel(self) -> bool:
        """Ends the job if it has not ended. False if it had ended before."""
        return self._thread.call(self._job.cancel())

    def retry(self) -> None:
        """Runs a failed job again. Raises ConflictingState."""
        self._thread.call(self._job.retry())

    def delete(self) -> None:
        """Ends the job if it has not ended, and has the service forget it."""
        self._thread.call(self._job.delete())


class BlockingBatch:
    """A batch by its id; AsyncBatch says what each method does."""

    def __init__(self, thread: LoopThread, batch: AsyncBatch) -> None:
        self._thread = thread
        self._batch = batch
        self.id = batch.id

    def __repr__(self) -> str:
        return f"BlockingBatch({self.id!r})"

    def status(self) -> dict[str, Any]:
        """`count`, `queued`, `ended`, and `counts`: how many of its jobs have each status."""
        return self._thread.call(self._batch.status())

    def wait(self, timeout_s: float | None = None) -> dict[str, Any]:
        """The same, once all of its jobs have ended. Raises WaitOver."""
        return self._thread.call(self._batch.wait(timeout_s))

    def results(self) -> Iterator[BatchOutcome]:
        """Each job in the order of the inputs, once all have ended."""
        return self._thread.iterate(self._batch.results())

    def as_completed(self) -> Iterator[BatchOutcome]:
        """Each job once it has ended, those first that end first."""
        return self._thread.iterate(self._batch.as_completed())

    def cancel(self) -> int:
        """Cancels the jobs that have not ended; how many these were."""
        return self._thread.call(self._batch.cancel())


class Client:
    """A client of a gateway; AsyncClient says what its arguments mean and what each method does.

    Its requests run in a thread of its own, and it may be used by many threads.
    """

    def __init__(self, url: str = "", api_key: str = "", *, patience_s: float = 60.0, connections: int = 200) -> None:
        self._client = AsyncClient(url, api_key, patience_s=patience_s, connections=connections)
        self._thread = LoopThread()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends what still runs, and closes the connections."""
        self._thread.close(self._client.close())

    def run(
        self, value: Any, *, wait_timeout_s: float | None = None, **options: Unpack[SubmitOptions]
    ) -> dict[str, Any]:
        """The data document of an input's job, once it has finished. Ctrl-C cancels the job.

        Raises FailedJob, CancelledJob, RequestRefused, GatewayUnavailable; WaitOver, after which the job goes on.
        """
        return self._thread.call(self._client.run(value, wait_timeout_s=wait_timeout_s, **options))

    def submit(self, value: Any, **options: Unpack[SubmitOptions]) -> BlockingJob:
        """Pushes an input: any JSON value, with an Upload for each file in it."""
        return BlockingJob(self._thread, self._thread.call(self._client.submit(value, **options)))

    def submit_call(
        self,
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[SubmitOptions],
    ) -> BlockingJob:
        """Pushes a job of a function that `PUSH_FUNCTIONS` names."""
        job = self._thread.call(self._client.submit_call(function, args, kwargs, **options))
        return BlockingJob(self._thread, job)

    def submit_batch(self, inputs: Iterable[Any], **options: Unpack[SubmitOptions]) -> BlockingBatch:
        """Pushes many inputs at once: all become jobs, or none does."""
        return BlockingBatch(self._thread, self._thread.call(self._client.submit_batch(inputs, **options)))

    def map(
        self,
        inputs: Iterable[Any],
        concurrency: int = 16,
        *,
        progress: bool = False,
        return_exceptions: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> Iterator[Any]:
        """The data document of each input, in their order; `concurrency` jobs are there at a time."""
        results = self._client.map(
            inputs, concurrency, progress=progress, return_exceptions=return_exceptions, **options
        )
        return self._thread.iterate(results)

    def job(self, job_id: str) -> BlockingJob:
        """A job by its id, without a request."""
        return BlockingJob(self._thread, self._client.job(job_id))

    def batch(self, batch_id: str) -> BlockingBatch:
        """A batch by its id, without a request."""
        return BlockingBatch(self._thread, self._client.batch(batch_id))

    def jobs(self, *, status: str = "", tag: str = "", queue: str = "") -> Iterator[JobStatus]:
        """The status documents of all jobs of the key, newest first."""
        return self._thread.iterate(self._client.jobs(status=status, tag=tag, queue=queue))

    def read_file(self, file: Mapping[str, Any] | str) -> bytes:
        """The bytes of a file that a data document names."""
        return self._thread.call(self._client.read_file(file))

    def save_file(self, file: Mapping[str, Any] | str, to: str | Path) -> Path:
        """Writes such a file to a path, which has it whole or not at all."""
        return self._thread.call(self._client.save_file(file, to))

    def webhook_secrets(self) -> list[str]:
        """The secrets that this key's webhooks are signed with, the one to use first."""
        return self._thread.call(self._client.webhook_secrets())

    def queues(self) -> list[QueueFigures]:
        """What the gateway says of each of its queues."""
        return self._thread.call(self._client.queues())

    def overview(self) -> list[QueueView]:
        """Each queue as the page's first view shows it, by name: figures, workers, the scaler's decision."""
        return self._thread.call(self._client.overview())

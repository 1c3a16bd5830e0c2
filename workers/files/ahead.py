"""The files of jobs that a worker holds ahead: brought while another job runs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from workers.files.fetch_terms import FetchFailed
from workers.model_host.errors import ModelRaised
from workers.objects.errors import StoreUnavailable
from workers.wire.decode import loads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.files.job_files import BroughtInput, JobFiles
    from workers.stream import Claimed

logger = logging.getLogger(__name__)

# Files that are here sooner are not worth a job that is held.
_WORTH_S = 0.01


class FilesAhead:
    """Brings the inputs of one function's jobs; `members` are those in which there may be files.

    What goes wrong is left for the attempt to find out.
    """

    def __init__(self, files: JobFiles, function: str, members: Callable[[], Sequence[str]]) -> None:
        self._files = files
        self._members = members
        self._tasks: dict[str, asyncio.Task[BroughtInput]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.function = function

    @property
    def is_worth_it(self) -> bool:
        """Whether the input that was brought last took some time."""
        return self._files.last_bring_s >= _WORTH_S

    def begin(self, job: Claimed) -> None:
        """The job is held from now on."""
        if job.function == self.function and job.id not in self._tasks:
            self._tasks[job.id] = asyncio.get_running_loop().create_task(self._bring(job))

    def drop(self, job_id: str) -> None:
        """The job is not held any more, and does not run here."""
        if task := self._tasks.pop(job_id, None):
            self._discard(task)

    async def taken(self, job_id: str) -> BroughtInput | None:
        """The input of a job that runs now, whose folder is the caller's to remove; None if it is not here."""
        if (task := self._tasks.pop(job_id, None)) is None:
            return None
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._discard(task)
            raise
        return None if task.cancelled() or task.exception() else task.result()

    async def close(self) -> None:
        """Forgets all."""
        for job_id in list(self._tasks):
            self.drop(job_id)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _bring(self, job: Claimed) -> BroughtInput:
        value: Any = loads(job.kwargs)["input"] if job.args == b"[]" else loads(job.args)[0]
        try:
            return await self._files.bring(job.id, value, self._members())
        except (StoreUnavailable, FetchFailed, ModelRaised) as error:
            logger.info("job %s: its files were not brought ahead: %s", job.id, error)
            raise

    def _discard(self, task: asyncio.Task[BroughtInput]) -> None:
        end = asyncio.get_running_loop().create_task(self._end(task))
        self._ending.add(end)
        end.add_done_callback(self._ending.discard)

    async def _end(self, task: asyncio.Task[BroughtInput]) -> None:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and not task.exception():
            await self._files.remove(task.result().folder)

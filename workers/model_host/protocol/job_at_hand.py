"""The job for which an input is run: what the model is told of it, and who hears what it tells."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable


class JobAtHand(NamedTuple):
    """`on_event` gets each event, a kind (see `frames.EVENTS`) and its value as JSON; without it, none is sent."""

    id: str = ""
    attempt: int = 0
    on_event: Callable[[str, bytes], None] | None = None
    deadline_s: float | None = None
    """Seconds since the epoch at which the job will be stopped."""
    folder: str = ""
    """Where the files of the input are, and the model's process puts those of the result; empty if nowhere."""
    takes_files: bool = False
    """Whether there are files in its input: they are gone when the job is over, so it can't be run again later."""
    traceparent: str = ""
    """The trace that its push was part of; empty without one."""

    def within(self, timeout_s: float | None) -> JobAtHand:
        """The same, to be stopped so many seconds from now."""
        if timeout_s is None:
            return self
        return self._replace(deadline_s=time.time() + timeout_s)

    def packed(self) -> bytes:
        """The first line of the frame with the job's input: `JobTerms` as a JSON array."""
        terms = [self.id, self.attempt, self.deadline_s, self.on_event is not None, self.folder, self.traceparent]
        return orjson.dumps(terms) + b"\n"


# For an input that is run to find out whether the model works.
NO_JOB = JobAtHand()

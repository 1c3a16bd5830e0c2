"""What is asked of a model and its processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.protocol.description import Description


def _ignore(_description: Description) -> None:
    pass


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The same for each process of one worker."""

    model: str
    """`module:Class` or `/path/to/file.py:Class`."""
    load_timeout_s: float
    """Seconds that loading may take, and a first input after it if the model is suspected to be broken."""
    memory_limit_bytes: int
    """Address space above which a process gets MemoryError; 0 is no limit."""
    max_result_bytes: int
    """Bytes of JSON that `predict` may return."""
    stop_grace_s: float
    """Seconds from SIGTERM to SIGKILL for a process that is to end."""
    max_failures: int = 0
    """Failed jobs in succession after which the model is checked; 0 is never."""
    max_jobs: int = 0
    """Jobs after which a process is replaced, or up to a fifth before; 0 is never."""
    health_s: float = 0.0
    """Seconds between two calls of the model's `health` in an idle process; 0 is never."""
    health_timeout_s: float = 10.0
    """Seconds that such a call may take."""
    max_batch_size: int = 0
    """Jobs that are run in one call, if the model has `predict_batch`; 0 is as many as the model says."""
    max_batch_wait_s: float | None = None
    """Seconds that a batch waits for more jobs; None is as long as the model says."""
    max_concurrency: int = 0
    """Jobs that one process runs at the same time, if `predict` is async; 0 is as many as the model says."""
    is_forked: bool = False
    """Whether the processes are forked from one that has loaded the model."""
    spares: int = 0
    """Loaded processes that wait to take over, unless processes are forked."""
    devices: tuple[str, ...] = ()
    """Values of CUDA_VISIBLE_DEVICES for the processes, in turn; empty leaves the variable as it is."""
    log_format: str = ""
    """The form of what the model prints: text or json, with the job that is run; empty leaves it as it is."""
    queue: str = ""
    """The queue that is named there."""
    on_described: Callable[[Description], None] = _ignore
    """Is called each time that a process has loaded the model."""

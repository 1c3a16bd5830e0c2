"""The job stream: the one place that names Redis keys and commands."""

from workers.settings import StreamSettings
from workers.stream.connection import is_out_of_memory, is_unavailable
from workers.stream.stream import (
    LIBRARY,
    Claimed,
    Counts,
    DeadLetter,
    Demand,
    Finish,
    JobView,
    NewJob,
    Pushed,
    Status,
    Stream,
    WorkerView,
)
from workers.stream.subscription import Subscription

__all__ = [
    "LIBRARY", "Claimed", "Counts", "DeadLetter", "Demand", "Finish", "JobView", "NewJob", "Pushed", "Status",
    "Stream", "StreamSettings", "Subscription", "WorkerView", "is_out_of_memory", "is_unavailable",
]  # fmt: skip

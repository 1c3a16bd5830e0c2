"""The job stream: the one place that names Redis keys and commands. Other rooms import this package's names only."""

from workers.settings import StreamSettings
from workers.stream.batch import SLOW_S, Batcher
from workers.stream.events import JobEvent, Telling, is_entry
from workers.stream.letters import DeadLetter, LetterPage, LetterView
from workers.stream.library import LIBRARY
from workers.stream.link.connection import backoff_s, connect, until_available
from workers.stream.link.ending import end
from workers.stream.link.errors import ServerUnfit, bad_server, is_out_of_memory, is_unavailable, reason
from workers.stream.link.memory import ServerMemory
from workers.stream.link.outage import Outage
from workers.stream.link.pipeline import PipelinedRedis
from workers.stream.link.subscription import Subscription
from workers.stream.overview import HISTORY_STEP_S, HISTORY_STEPS, Overviews, QueueGlance, WorkerGlance
from workers.stream.pushed_batches import (
    BATCH_ID_CHARS,
    GONE,
    PLACES_AT_ONCE,
    BatchJob,
    BatchView,
    NewBatch,
    PushedBatches,
    batch_job_id,
)
from workers.stream.records.figures import Counts, Demand
from workers.stream.records.held_job import AheadStart, ClaimCall, Claimed, Finish, Turn
from workers.stream.records.job_view import JobView, Status
from workers.stream.records.new_job import DEFAULT_FUNCTION, NO_LIMITS, WEBHOOK_EVENTS, NewJob, Pushed, PushLimits
from workers.stream.records.options import NO_OPTIONS, PRIORITIES, JobOptions, Priority
from workers.stream.records.registration import ANY_SCHEMA, Registered, SchemaView, WorkerView
from workers.stream.stream import EVENTS_BYTES, LARGE_BYTES, WEBHOOKS_PART, Stream
from workers.stream.uploads import UploadRefusal

__all__ = [
    "ANY_SCHEMA",
    "BATCH_ID_CHARS",
    "DEFAULT_FUNCTION",
    "EVENTS_BYTES",
    "GONE",
    "HISTORY_STEPS",
    "HISTORY_STEP_S",
    "LARGE_BYTES",
    "LIBRARY",
    "NO_LIMITS",
    "NO_OPTIONS",
    "PLACES_AT_ONCE",
    "PRIORITIES",
    "SLOW_S",
    "WEBHOOKS_PART",
    "WEBHOOK_EVENTS",
    "AheadStart",
    "BatchJob",
    "BatchView",
    "Batcher",
    "ClaimCall",
    "Claimed",
    "Counts",
    "DeadLetter",
    "Demand",
    "Finish",
    "JobEvent",
    "JobOptions",
    "JobView",
    "LetterPage",
    "LetterView",
    "NewBatch",
    "NewJob",
    "Outage",
    "Overviews",
    "PipelinedRedis",
    "Priority",
    "PushLimits",
    "Pushed",
    "PushedBatches",
    "QueueGlance",
    "Registered",
    "SchemaView",
    "ServerMemory",
    "ServerUnfit",
    "Status",
    "Stream",
    "StreamSettings",
    "Subscription",
    "Telling",
    "Turn",
    "UploadRefusal",
    "WorkerGlance",
    "WorkerView",
    "backoff_s",
    "bad_server",
    "batch_job_id",
    "connect",
    "end",
    "is_entry",
    "is_out_of_memory",
    "is_unavailable",
    "reason",
    "until_available",
]  # fmt: skip

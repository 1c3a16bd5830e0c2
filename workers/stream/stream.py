"""The job stream: a typed class over the functions of `lua/`, whose keys.lua documents every key.

This folder is the only place that names Redis keys and commands.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from workers.stream.batch import SLOW_S, Batcher
from workers.stream.channels import Channels
from workers.stream.events import JobEvent
from workers.stream.job_index import JobIndex
from workers.stream.letters import DeadLetter, Letters
from workers.stream.library import Library
from workers.stream.link.connection import connect
from workers.stream.link.errors import ServerUnfit
from workers.stream.link.memory import MemoryWatch
from workers.stream.link.pipeline import Lane, PipelinedRedis
from workers.stream.overview import Overviews
from workers.stream.pushed_batches import PushedBatches
from workers.stream.records.figures import Counts, Demand
from workers.stream.records.held_job import ClaimCall, Claimed, Turn
from workers.stream.records.job_view import JobView
from workers.stream.records.new_job import Pushed, size_bytes
from workers.stream.records.registration import Registered, SchemaView, WorkerView
from workers.stream.sweeping import is_overdue, pause_s, sweep_interval_s
from workers.stream.uploads import UploadLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from workers.settings import StreamSettings
    from workers.stream.events import Telling
    from workers.stream.records.held_job import AheadStart, Finish
    from workers.stream.records.new_job import EncodedJob, NewJob

# What the keys of the internal queue of deliveries have behind `{q}` (webhooks.lua).
WEBHOOKS_PART = ":webhooks"
SCALER_MEMORY_S = 7 * 86_400.0

# What is larger goes over a connection of its own. Example: at 8 MB/s, 256 KiB hold up other calls for 33 ms.
LARGE_BYTES = 256 * 1024
# Results up to this size share round trips without a look at their size. A full batch of them has 8 MB.
SMALL_RESULT_BYTES = 64 * 1024
_SMALL_RESULTS = 128
_MOST_NEXT = 100  # events that end a wait
# Of the values of one page of events, unless a single one is larger.
EVENTS_BYTES = 1024 * 1024
_ANY_SIZE = 2**53
_NO_CLAIM = ClaimCall(-1)
# How much of the time that the server may be silent WAIT may take.
_WAIT_SHARE = 0.7


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


class Stream(Channels):
    """One queue's stream on one server, and its channels. Every method that is awaited is one round trip, and atomic.

    `pushes` collects those of the moment for a call; its `gather` may be set to wait for more.

    Raises the redis client's errors; `is_unavailable` and `is_out_of_memory` tell which kind. After an error every
    method but `claim` and `finish_and_claim` may be repeated: what was done before is recognized by the job's record
    (or its idempotency key) for as long as that is kept.
    """

    def __init__(self, settings: StreamSettings, redis: PipelinedRedis | None = None) -> None:
        self.settings = settings
        super().__init__(settings.redis_url, "{" + settings.queue_name + "}" + settings.part)
        self.redis = redis or connect(settings.redis_url, settings.redis_timeout_s, PipelinedRedis, self.prefix)
        self.redis.on_reopen = self.renew_subscriptions
        self.memory = MemoryWatch(self.redis)
        self._library = Library(self.redis, f"{self.prefix}:stream")
        self._call = self._library.call
        self.index = JobIndex(self._call)
        self.letters = Letters(self._call)
        self.overviews = Overviews(self._call)
        self.uploads = UploadLimits(self._call)
        self.batches = PushedBatches(settings, self._call, self._call_push)
        # Pushes that come during a slow call are sent beside it, and share the next wait for the disk with it, or with
        # what workers tell. Example: on a disk that takes 4 ms, 8 pushes that come within 3 ms leave in three calls,
        # and wait for the disk twice at most. WAIT blocks its connection: what is sent beside it would only wait there.
        beside_s = None if settings.push_replicas else SLOW_S
        self.pushes: Batcher[EncodedJob, Pushed] = Batcher(self._push, size_of=size_bytes, beside_s=beside_s)
        self._large_pushes: Batcher[EncodedJob, Pushed] = Batcher(self._push, size_of=size_bytes)
        self._views: Batcher[tuple[str, bool], JobView | None] = Batcher(self.view_many)
        self._results: Batcher[tuple[str, bool], JobView | None] = Batcher(self.view_many)
        self._small_results: Batcher[tuple[str, bool], JobView | None] = Batcher(
            partial(self.view_many, max_result_bytes=SMALL_RESULT_BYTES), max_items=_SMALL_RESULTS
        )

    async def open(self) -> None:
        """Makes sure that the functions, the stream and its consumer group exist (XGROUP CREATE)."""
        await self._call("open")

    async def prove_write(self) -> None:
        """Proves that the server takes writes (SET, once a second). Raises ServerUnfit if it may evict jobs."""
        await self._call("prove")
        await self.memory.check()

    async def close(self) -> None:
        """Sends what waits in batches, then closes the connections."""
        for batcher in (self.pushes, self._large_pushes, self._views, self._results, self._small_results):
            await batcher.close()
        await self.redis.aclose(close_connection_pool=True)

    # pushing

    def push(self, job: NewJob) -> asyncio.Future[Pushed]:
        """Pushes a job (XADD), sharing the round trip with others; done once the server has accepted it.

        Raises ServerUnfit if the server may evict jobs, or if too few replicas have confirmed the job.
        """
        batcher = self.pushes if len(job.args) <= LARGE_BYTES else self._large_pushes
        return batcher.submit(job.encoded())

    async def push_many(self, jobs: Sequence[NewJob]) -> list[Pushed]:
        """Pushes jobs in one atomic step; an id or idempotency key that is known changes nothing."""
        return await self._push([job.encoded() for job in jobs])

    async def _push(self, jobs: Sequence[EncodedJob]) -> list[Pushed]:
        settings = self.settings
        function, owner = jobs[0].function, jobs[0].owner
        args: list[str | bytes | int] = [
            settings.max_backlog, _ms(settings.idempotency_s), int(settings.fair_turns), function, owner,
        ]  # fmt: skip
        for job in jobs:
            if job.options or job.function != function or job.owner != owner:
                args += (b"", *job)
            else:
                args += (job.id, job.args)
        large = sum(map(size_bytes, jobs)) > LARGE_BYTES
        replies = await self._call_push("push", *args, lane=Lane.UPLOADS if large else Lane.CALLS)
        refusals = dict(zip(replies[::2], replies[1::2], strict=True))
        return [Pushed.from_reply(job.id, refusals.get(place, b"accepted")) for place, job in enumerate(jobs)]

    async def _call_push(self, function: str, *args: str | bytes | float, lane: Lane = Lane.UPLOADS) -> Any:
        await self.memory.check()
        least = self.settings.push_replicas
        if not least:
            return await self._call(function, *args, lane=lane)
        replies = await self._call(function, *args, lane=Lane.REPLICATED)
        # WAIT waits for the last write of its connection. A push that finds its job there writes nothing, and the job
        # may have come over another connection. So a write goes before WAIT, on the same connection.
        write = ("SET", f"{self.prefix}:proof", 0, "PX", 1)
        wait_ms = _ms(self.settings.redis_timeout_s * _WAIT_SHARE)
        _, confirmed = await self.redis.call_both(Lane.REPLICATED, write, ("WAIT", least, wait_ms))
        if confirmed < least:
            raise ServerUnfit(
                f"the job is stored, but only {confirmed} of {least} replicas have confirmed it in time: "
                "pushed again with its Idempotency-Key it is the same job"
            )
        return replies

    # what a worker does

    async def claim(
        self,
        worker: str,
        count: int,
        running: int = 0,
        ready_ms: int = 0,
        max_attempts: int = 5,
        attempts_of: Mapping[str, int] | None = None,
    ) -> list[Claimed]:
        """Claims up to `count` jobs (XCLAIM of released ones, then XREADGROUP), counting their attempts.

        A worker that gets fewer is woken over its channel when there is more; one that asks for 0 is not
        woken any more. Payloads of more than 8 MiB come in several claims. After an error call
        `release_unknown`: the reply may have been lost on the way.
        """
        call = ClaimCall(count, running, ready_ms, max_attempts, attempts_of)
        return Claimed.from_reply(await self._call("claim", worker, *self._claim_args(call), lane=Lane.CLAIMS))

    def _claim_args(self, call: ClaimCall) -> list[str | int]:
        args = (call.most, call.running, call.ready_ms, call.max_attempts, _ms(self.settings.keep_result_s))
        return [*args, *_flat((call.attempts_of or {}).items())]

    async def finish(self, worker: str, finishes: Sequence[Finish]) -> list[bool]:
        """Acknowledges, deletes and publishes (XACK, XDEL, HSET) each job that the worker still holds.

        False: the lease was lost or the job has ended, and nothing was changed. If results would take more than
        RESULTS_MEMORY_BYTES then, the oldest are given up.
        """
        args = (worker, self.settings.results_memory_bytes, *_finish_args(finishes))
        large = sum(finish.size_bytes for finish in finishes) > LARGE_BYTES
        lane = Lane.UPLOADS if large else Lane.CALLS
        return _done_of(finishes, await self._call("finish", *args, lane=lane))

    async def finish_and_claim(
        self, worker: str, finishes: Sequence[Finish], claim: ClaimCall = _NO_CLAIM, starts: Sequence[AheadStart] = ()
    ) -> Turn:
        """Does what `finish` and then `claim` do, in one step and one call.

        Before that it registers the `starts` of jobs that the worker held ahead; False: the job was cancelled, or is
        another's. After that it has the worker hold some more jobs ahead (XREADGROUP), unless a worker is idle.
        Not to be repeated after an error, but without the claim: then `release_unknown` is to be called, too.
        """
        now_s = time.monotonic()
        begins = [(start.id, start.entry, round(1000 * max(0.0, now_s - start.began_s))) for start in starts]
        keep_ms, *ends = _finish_args(finishes)
        ahead = (len(starts), *(item for begin in begins for item in begin), claim.ahead, claim.held)
        reply = await self._call(
            "finish_and_claim", worker, self.settings.results_memory_bytes, keep_ms, len(ends), *ends, *ahead,
            *self._claim_args(claim), lane=Lane.CLAIMS,
        )  # fmt: skip
        lost, started, claimed, held = reply
        return Turn(
            _done_of(finishes, lost),
            [bool(one) for one in started],
            Claimed.from_reply(claimed),
            Claimed.from_reply(held),
        )

    async def release_ahead(self, worker: str, held: Iterable[tuple[str, str]]) -> int:
        """Hands back all the jobs (id, entry) that the worker holds ahead. Returns how many of them it still held."""
        return int(await self._call("release_ahead", worker, *(item for pair in held for item in pair)))

    async def tell(self, worker: str, tellings: Sequence[Telling]) -> list[bool]:
        """Appends events of jobs that the worker holds (XADD), each job's to a stream of its own; how far is bounded.

        False: the lease was lost or the job has ended. A server that is out of memory refuses this call.
        """
        args: list[str | bytes | int] = [worker, self.settings.max_events, self.settings.max_events_bytes]
        for telling in tellings:
            args += (telling.id, telling.attempt, telling.first, len(telling.events))
            for event in telling.events:
                args += event
        large = sum(telling.size_bytes for telling in tellings) > LARGE_BYTES
        return [bool(reply) for reply in await self._call("tell", *args, lane=Lane.UPLOADS if large else Lane.CALLS)]

    async def defer(self, worker: str, job_id: str, attempt: int, defer_ms: int) -> bool:
        """Lets a held job be claimed again after `defer_ms` ms (0: at once, before others). False: not held."""
        keep_ms = _ms(self.settings.keep_result_s)
        return bool(await self._call("defer", worker, job_id, attempt, defer_ms, keep_ms))

    async def put_off(
        self,
        worker: str,
        job_id: str,
        attempt: int,
        least_s: float,
        most_s: float,
        patience_s: float,
        stretch: float = 1.0,
    ) -> int:
        """Hands back a held job whose function the worker lacks, its attempt uncounted (ZADD to the deferred).

        It waits `stretch` times as long as it has been put off before, that from `least_s` to `most_s`. Once it has
        been put off for `patience_s` and no live worker's registration names the function, it fails. Returns the ms to
        wait, 0 if it failed, or -1 if it was not held.
        """
        patience_ms, keep_ms = round(patience_s * 1000), _ms(self.settings.keep_result_s)
        args = (worker, job_id, attempt, _ms(least_s), _ms(most_s), stretch, patience_ms, keep_ms)
        return int(await self._call("put_off", *args))

    async def release(self, worker: str, held: Iterable[tuple[str, int]]) -> int:
        """Hands held jobs (id, attempt) back for immediate claim, their attempts uncounted. Returns how many."""
        return int(await self._call("release", worker, *_flat(held)))

    async def release_unknown(self, worker: str, held: Iterable[tuple[str, int]]) -> list[str]:
        """Hands back the jobs that the server says this worker holds, except `held`. Returns their entries.

        Some may have been handed over to the worker in a message that has arrived meanwhile or is still to come.
        """
        # On the lane of the claims, so that it comes after a claim whose reply was given up.
        entries = await self._call("release_unknown", worker, *_flat(held), lane=Lane.CLAIMS)
        return [entry.decode() for entry in entries]

    async def renew(self, worker: str, held: Iterable[tuple[str, int]]) -> list[str]:
        """Renews the leases of held jobs (XCLAIM JUSTID). Returns the ids that are not held any more."""
        return [job_id.decode() for job_id in await self._call("renew", worker, *_flat(held))]

    async def register(self, worker: str, expiry_s: float, fields: Mapping[str, str | int]) -> Registered:
        """Writes fields of a worker's registration, which expires unless this is repeated."""
        flat = [item for pair in fields.items() for item in pair]
        wants_schema, is_idle, swept_ms, workers = await self._call("register", worker, _ms(expiry_s), *flat)
        overdue = is_overdue(swept_ms, self.sweep_interval_s)
        return Registered(bool(wants_schema), bool(is_idle), overdue, workers)

    async def publish_schema(self, digest: str, schema: bytes) -> None:
        """Publishes the schema (JSON) of a model under its digest (HSET). It is kept for a day after its last renewal.

        Of more than 8 schemas, those are kept that were renewed last.
        """
        await self._call("publish_schema", digest, schema)

    async def leave(self, worker: str) -> None:
        """Takes a worker out of the group (XGROUP DELCONSUMER), handing back what it holds."""
        await self._call("leave", worker)

    @property
    def health_key(self) -> str:
        """The key of the queue's health line."""
        return f"{self.prefix}:health-check"

    async def write_health(self, expiry_s: float, line: str, key: str | None = None) -> None:
        """Writes arq's health line (SET PX) under `key` or, even if the server is out of memory, the queue's own."""
        if key is None:
            await self._call("health_check", _ms(expiry_s), line)
        else:
            await self.redis.set(key, line, px=_ms(expiry_s))

    async def delete_health(self, key: str | None = None) -> None:
        """Deletes arq's health line (DEL)."""
        await self.redis.delete(key or self.health_key)

    # what time brings about

    @property
    def sweep_interval_s(self) -> float:
        """How often `sweep` has to be called by somebody, in seconds."""
        return sweep_interval_s(self.settings.lease_s)

    async def sweep(self, most_s: float = 0.0) -> float:
        """Promotes due jobs, fails those whose ttl is over, releases expired leases (XAUTOCLAIM), wakes workers.

        Returns seconds to the next call.

        Many workers share the calls: with `most_s` those seconds grow with the number of workers, up to about so many.
        Looks at the server's memory at times (INFO), and raises ServerUnfit, after all that, if it may evict jobs.
        """
        interval_s, settings = self.sweep_interval_s, self.settings
        expired_ms = _ms(settings.lease_s - interval_s)
        # A sweep leaves a mark for half an interval. If the mark lasted for all of it, a call that comes a bit early
        # would find the mark of the sweep before and do nothing, and the next sweep would be late.
        due_ms, workers = await self._call(
            "sweep", _ms(interval_s / 2), expired_ms, _ms(settings.dead_letter_age_s), settings.max_dead_letters,
            _ms(settings.keep_result_s),
        )  # fmt: skip
        await self.memory.check()
        return pause_s(interval_s, due_ms / 1000, workers, most_s)

    # what users ask for

    async def view(self, job_id: str, with_result: bool = False) -> JobView | None:
        """A job's record, sharing the round trip with others; None if there is none (any more)."""
        return await (self._results if with_result else self._views).submit((job_id, with_result))

    async def view_small(self, job_id: str) -> JobView | None:
        """A job's record, with its result if that has at most SMALL_RESULT_BYTES, or else with its size."""
        return await self._small_results.submit((job_id, True))

    async def view_many(
        self, wanted: Sequence[tuple[str, bool]], max_result_bytes: int = _ANY_SIZE
    ) -> list[JobView | None]:
        """Records of several jobs, each with its result or without. A larger result is left out, its size is told."""
        views: list[JobView | None] = []
        while rest := wanted[len(views) :]:
            args = [item for job_id, with_result in rest for item in (job_id, max_result_bytes if with_result else 0)]
            lane = Lane.RESULTS if any(with_result for _, with_result in rest) else Lane.CALLS
            replies = await self._call("view", *args, lane=lane)
            # Large results fill a reply, and then it has fewer records than asked for.
            views += [JobView.from_reply(job_id, reply) for (job_id, _), reply in zip(rest, replies, strict=False)]
        return views

    async def events(
        self, job_id: str, after: str = "", count: int = 1000, wait_s: float = 0.0, most_bytes: int = EVENTS_BYTES
    ) -> list[JobEvent]:
        """Up to `count` of a job's events behind the entry `after`, oldest first (XRANGE).

        The one that exceeds `most_bytes` is the last. If there is none yet, waits up to `wait_s` seconds for the next
        ones (XREAD BLOCK), over a connection of its own.
        A job that tells nothing has no events, not even of its end.
        """
        found = JobEvent.from_reply(await self._call("events", job_id, after, count, most_bytes, lane=Lane.RESULTS))
        if found or wait_s <= 0:
            return found
        return await self._next_events(job_id, after or "0-0", min(count, _MOST_NEXT), wait_s)

    async def _next_events(self, job_id: str, after: str, count: int, wait_s: float) -> list[JobEvent]:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        # A connection that is silent for longer counts as broken.
        round_s = self.settings.redis_timeout_s * _WAIT_SHARE
        key = f"{self.prefix}:events:{job_id}"
        while (left_s := until_s - loop.time()) > 0:
            block_ms = _ms(min(left_s, round_s))
            rows = await self.redis.execute_command(
                "XREAD", "COUNT", count, "BLOCK", block_ms, "STREAMS", key, after
            )  # fmt: skip
            if rows:
                flat = [item for entry, fields in rows[0][1] for item in (entry, *next(iter(fields.items())))]
                return JobEvent.from_reply(flat)
        return []

    async def is_deferred(self, job_id: str) -> bool:
        """Whether a job waits outside the stream until it is due (ZSCORE)."""
        return await self.redis.zscore(f"{self.prefix}:deferred", job_id) is not None

    async def cancel(self, job_id: str) -> str:
        """Ends a job that has not ended. Returns 'cancelled' | 'missing' | 'finished' | 'failed'.

        A job that was cancelled before is 'cancelled' too: to tell the two apart, call `view` first.
        """
        return str((await self._call("cancel", job_id, _ms(self.settings.keep_result_s))).decode())

    async def retry(self, job_id: str) -> str:
        """Runs a failed job again under its id, its attempts counted from 0.

        Returns 'retried' | 'missing' | 'gone' (its dead letter was trimmed) | the status of a job that did not fail.
        A full backlog does not refuse it, as the job was accepted before.
        """
        return str((await self._call("retry", job_id)).decode())

    async def dead_letters(self, count: int = 100, after: str = "") -> list[DeadLetter]:
        """Failed jobs with their payloads, oldest first (XRANGE), behind the entry `after`."""
        rows = await self._call("dead_letters", f"({after}" if after else "-", count, lane=Lane.RESULTS)
        return [DeadLetter.from_reply(entry, fields) for entry, fields in rows]

    async def dead_letter(self, entry: str) -> DeadLetter | None:
        """The dead letter of an entry (XRANGE)."""
        rows = await self._call("dead_letters", entry, 1, lane=Lane.RESULTS)
        letters = [DeadLetter.from_reply(found, fields) for found, fields in rows]
        return letters[0] if letters and letters[0].entry == entry else None

    async def requeue(self, entry: str) -> bool:
        """Puts a dead letter back into the stream. False: there is no such letter, or its job is not failed."""
        return bool(await self._call("requeue", entry))

    async def counts(self) -> Counts:
        """The queue in numbers (XLEN, XINFO GROUPS, XPENDING, ZCARD)."""
        return Counts(*(int(n) for n in await self._call("counts")))

    async def demand(self) -> Demand:
        """What a scaler has to know (TIME, XINFO GROUPS, XPENDING). Raises ServerUnfit if the server may evict jobs."""
        await self.memory.check()
        now_ms, arrived, *rest = await self._call("demand")
        if arrived < 0:
            await self.open()
            now_ms, arrived, *rest = await self._call("demand")
        waiting, running, busy, decision = rest
        return Demand(int(now_ms), int(arrived), int(waiting), int(running), int(busy), decision)

    async def remember(self, **fields: bytes) -> None:
        """Keeps what a scaler needs after a restart or tells, `decision`, `facts` or `state`, for a week."""
        flat = [item for pair in fields.items() for item in pair]
        await self._call("remember", _ms(SCALER_MEMORY_S), *flat)

    async def remembered(self) -> bytes:
        """The `state` kept by `remember`, or empty."""
        return bytes(await self._call("remembered"))

    async def workers(self) -> list[WorkerView]:
        """All live workers' registrations."""
        return [WorkerView.from_reply(worker, flat) for worker, flat in await self._call("workers")]

    async def schemas(self, known: Iterable[str] = ()) -> list[SchemaView]:
        """The published schemas of models, those that were renewed last first; without the JSON of `known` digests."""
        return [SchemaView.from_reply(row) for row in await self._call("schemas", *known)]


def _flat(pairs: Iterable[tuple[str, int]]) -> list[str | int]:
    return [item for pair in pairs for item in pair]


def _finish_args(finishes: Sequence[Finish]) -> list[str | bytes | int]:
    keep_ms = next((finish.keep_ms for finish in finishes if finish.is_short), 0)
    args: list[str | bytes | int] = [keep_ms]
    for finish in finishes:
        if finish.is_short and finish.keep_ms == keep_ms:
            args += (finish.id, finish.body)
        else:
            args += ("", finish.id, finish.attempt, finish.status, finish.keep_ms, finish.body, finish.notes)
    return args


def _done_of(finishes: Sequence[Finish], lost: Sequence[int]) -> list[bool]:
    places = set(lost)
    return [place not in places for place in range(len(finishes))]

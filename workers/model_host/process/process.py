"""One process with the model in it, as the worker sees it: from its start to its end, by named states."""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from workers.model_host.calls.health import NOT_HEALTHY
from workers.model_host.errors import (
    ModelAskedAgain,
    ModelBroken,
    ModelCrashed,
    ModelLoadFailed,
    ModelNotForked,
    ModelNotFound,
    ModelRaised,
    ModelUnforkable,
)
from workers.model_host.process.answers import ProcessEnds, outcome_of, outcomes_of
from workers.model_host.process.calls_at_hand import CallsAtHand
from workers.model_host.process.life import ProcessLife
from workers.model_host.process.state import ProcessState
from workers.model_host.protocol.abilities import Abilities
from workers.model_host.protocol.batch_body import packed_inputs
from workers.model_host.protocol.description import Description
from workers.model_host.protocol.frames import (
    AGAIN,
    BATCH,
    BROKEN,
    CANCEL,
    EVENTS,
    HEALTH,
    JOB,
    LOADED,
    NOT_FOUND,
    OUTCOMES,
    RESULT,
    UNFORKABLE,
    WATCHES,
    Frame,
    FrameError,
    FrameReader,
    pack,
)
from workers.model_host.protocol.job_at_hand import NO_JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.model_host.options import ModelOptions
    from workers.model_host.process.answers import BatchOutcome, Outcome
    from workers.model_host.process.start import Start
    from workers.model_host.protocol.job_at_hand import JobAtHand

T = TypeVar("T")

_NOTICES = frozenset((*EVENTS, WATCHES))
# The grace of a process whose job is stopped: the job's slot is taken until it is gone.
CANCEL_GRACE_S = 1.0
BROKE_THE_PROTOCOL = "broke the protocol"
DID_NOT_STOP = "was ended, as a job in it did not end when it was cancelled or took too long"
SLACK_BYTES = 131_072  # for an error and for a schema, which may be longer than a small `max_result_bytes`


class ModelProcess(ProcessLife):
    """A process that loads the model at once, or has it from the beginning: `start` starts it.

    `used` says whether it ever had a job, and `has_answered` whether it has answered one. `abilities` are those of the
    loaded model, and `is_no_good` says whether the model has said that of its process.
    """

    def __init__(
        self, options: ModelOptions, start: Start, on_change: Callable[[ProcessState, ProcessState], None]
    ) -> None:
        super().__init__(options, start, on_change)
        self._reader = FrameReader(options.max_result_bytes + SLACK_BYTES, _NOTICES, self._on_notice)
        self._reader.expect(0)
        self._job = 0
        self._calls = CallsAtHand(self._reader)  # if the model runs several jobs at once
        self._answer: asyncio.Future[Frame] = self._loop.create_future()
        self._answered: Frame | None = None  # the answer to the job at hand, also if that was cancelled meanwhile
        self._is_watching = False  # whether the model has looked at `cancelled`
        self._on_event: Callable[[str, bytes], None] | None = None
        self.used = False
        self.has_answered = False
        self.is_no_good = False
        self.abilities = Abilities()

    @property
    def pid(self) -> int | None:
        """The process with the model in it, as its first frame says; None before that."""
        return self._reader.pid

    @property
    def has_room(self) -> bool:
        """Whether it can take a job now: one that is idle, or runs fewer jobs than its model runs at once."""
        return self.state is ProcessState.IDLE or (
            self.state is ProcessState.BUSY and 0 < self.running < self.abilities.max_concurrency
        )

    @property
    def running(self) -> int:
        """How many jobs are in it, if its model runs several at once."""
        return len(self._calls)

    async def load(self, check: bytes | None = None) -> None:
        """Returns when the model is loaded and has answered the input `check` (JSON), unless that is None.

        May be called again as long as the process has had no job, for another check.

        Otherwise the process is gone when this raises: ModelLoadFailed if the model does not load, or not within
        `load_timeout_s` seconds; ModelNotFound; ModelNotForked; ModelUnforkable, of a template; ModelBroken if it does
        not answer the input.
        """
        assert not self.used, "a model's process is loaded before it has jobs"  # noqa: S101
        failure: type[Exception] = ModelLoadFailed
        try:
            async with asyncio.timeout(self._options.load_timeout_s):
                answer = await self._answer
                self._hear_of_model(answer)
                if answer.kind == LOADED and check is not None:
                    failure = ModelBroken
                    answer = await self._ask(pack(self._job + 1, os.getpid(), JOB, NO_JOB.packed() + check))
            if answer.kind in (LOADED, RESULT, AGAIN):
                if self.state is ProcessState.LOADING:
                    self._change(ProcessState.IDLE)
                return
            if answer.kind in (NOT_FOUND, UNFORKABLE):
                failure = ModelNotFound if answer.kind == NOT_FOUND else ModelUnforkable
                reason = answer.body.decode(errors="replace")
            else:
                outcome = self._read(answer)
                reason = str(outcome) if isinstance(outcome, ModelRaised) else BROKE_THE_PROTOCOL
        except TimeoutError:
            reason = f"it took longer than {self._options.load_timeout_s:g} s"
        except ModelCrashed as error:
            reason = str(error)
        except BaseException:
            await self.stop()
            raise
        await self.stop()
        if failure is ModelUnforkable:
            raise ModelUnforkable(reason)
        if failure is ModelBroken:
            raise ModelBroken(f"a new process failed with an input that another had answered before: {reason}")
        raise failure(f"the model {self._options.model} could not be loaded: {reason}")

    def hand_over(self, on_change: Callable[[ProcessState, ProcessState], None]) -> None:
        """From now on `on_change` is called instead of the other. It is told of a loaded process at once."""
        self._on_change = on_change
        if self.state is ProcessState.IDLE:
            on_change(ProcessState.LOADING, ProcessState.IDLE)

    async def predict(self, input_json: bytes, job: JobAtHand = NO_JOB) -> bytes:
        """Runs one job's input (JSON); the result is JSON too. The process must be idle, or have room beside others.

        Raises ModelRaised and ModelAskedAgain, after which it is idle again unless it has died, and ModelCrashed. A
        crash is raised once the process is gone. So is a cancel, unless the model looks at `cancelled` or runs several
        jobs at once, and has ended this one within the grace: then the process goes on.
        """
        body = job.packed() + input_json
        if self.abilities.max_concurrency > 1:
            outcome = await self._run_beside_others(body, job.on_event)
        else:
            self._on_event = job.on_event
            outcome = await self._run(JOB, body, self._read)
        if isinstance(outcome, Exception):
            raise outcome
        self.has_answered = True
        return outcome

    async def predict_batch(self, inputs: Sequence[bytes], jobs: Sequence[JobAtHand]) -> list[BatchOutcome]:
        """Runs the inputs of several jobs (JSON) in one call. The outcomes are in their order; results are JSON.

        Raises as `predict` does if the call failed as a whole.
        """
        count = len(inputs)
        self._on_event = None
        outcomes = await self._run(BATCH, packed_inputs(jobs, inputs), partial(self._read_batch, count), count)
        if isinstance(outcomes, Exception):
            raise outcomes
        self.has_answered = self.has_answered or any(isinstance(outcome, bytes) for outcome in outcomes)
        return outcomes

    async def _run(self, kind: bytes, body: bytes, read: Callable[[Frame], T], jobs: int = 1) -> T:
        """What `read` makes of the answer; the process is idle again, or gone."""
        self._must_be(ProcessState.IDLE)
        message = pack(self._job + 1, os.getpid(), kind, body)
        self._change(ProcessState.BUSY)
        self.used = True
        try:
            outcome = read(await self._ask(message, jobs))
        except BaseException as error:
            if not (isinstance(error, asyncio.CancelledError) and await self._has_stopped_by_itself(read)):
                await self.stop(CANCEL_GRACE_S)
            raise
        if self.is_no_good:  # for one job of several: the others have their outcomes
            await self.stop(CANCEL_GRACE_S)
        self._is_idle_again()
        return outcome

    async def _run_beside_others(self, body: bytes, on_event: Callable[[str, bytes], None] | None) -> Outcome:
        """The answer to a job; the process is idle then if it was the last one."""
        assert self.has_room and self._transport is not None  # noqa: S101, PT018
        number = self._job + 1
        message = pack(number, os.getpid(), JOB, body)
        answer = self._calls.begin(number, on_event)
        self._job, self.used = number, True
        if self.state is ProcessState.IDLE:
            self._change(ProcessState.BUSY)
        self._transport.write(message)
        try:
            await asyncio.wait([answer])
            return self._read(answer.result())
        except asyncio.CancelledError:
            if not await self._has_ended(number, answer):
                await self._stop_for_all()
            raise
        except BaseException:
            await self.stop(CANCEL_GRACE_S)
            raise
        finally:
            self._calls.end(number)
            if not self._calls:
                self._is_idle_again()

    async def _has_ended(self, number: int, answer: asyncio.Future[Frame]) -> bool:
        """Has the model end one of its jobs. Whether it did so within the grace, and the process is still good.

        A second cancel in between must not cost the other jobs their process.
        """
        if not answer.done() and self.state is ProcessState.BUSY and self._transport is not None:
            self._transport.write(pack(number, os.getpid(), CANCEL))
            until_s = self._loop.time() + CANCEL_GRACE_S
            while not answer.done() and (left_s := until_s - self._loop.time()) > 0:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([answer], timeout=left_s)
            if not answer.done():
                self.end(DID_NOT_STOP, CANCEL_GRACE_S)
        with contextlib.suppress(ModelCrashed):
            if answer.done():
                self._read(answer.result())
        return self.state is ProcessState.BUSY and not self.is_no_good

    async def _stop_for_all(self) -> None:
        """Ends the process. If it is dying by itself, how it does that is awaited, as its other jobs are told of it."""
        if self.state is ProcessState.ENDING and not self._leash.ending:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._life], timeout=CANCEL_GRACE_S)
        await self.stop(CANCEL_GRACE_S)

    async def _has_stopped_by_itself(self, read: Callable[[Frame], Any]) -> bool:
        """Whether a job that was cancelled is over: it was just answered, or the model has ended it within the grace.

        Only a model that looks at `cancelled` is asked to do so.
        """
        transport = self._transport
        if self.state is not ProcessState.BUSY or transport is None or not (self._answered or self._is_watching):
            return False
        try:
            async with asyncio.timeout(CANCEL_GRACE_S):
                read(self._answered or await self._ask_to_stop(transport))
        except (ModelCrashed, TimeoutError, asyncio.CancelledError):
            return False
        return not self.is_no_good and self._is_idle_again()

    async def _ask_to_stop(self, transport: asyncio.Transport) -> Frame:
        self._answer = self._loop.create_future()
        transport.write(pack(self._job, os.getpid(), CANCEL))
        return await self._answer

    async def check_health(self, limit_s: float) -> None:
        """Has the model say whether its process is still good, and ends it if not. The process must be idle.

        It is no good if `health` returns False, raises, or takes longer than `limit_s` seconds.
        """
        self._must_be(ProcessState.IDLE)
        self._change(ProcessState.BUSY)
        why = ""
        try:
            async with asyncio.timeout(limit_s):
                outcome = self._read(await self._ask(pack(self._job + 1, os.getpid(), HEALTH)))
            if isinstance(outcome, Exception):
                why = f"is not healthy: {outcome}"
            elif outcome == NOT_HEALTHY:
                why = "is not healthy"
        except TimeoutError:
            why = f"took longer than {limit_s:g} s to say whether it is healthy"
        except ModelCrashed:
            why = self.how
        except BaseException:
            await self.stop(CANCEL_GRACE_S)
            raise
        if why:
            self.is_no_good = True
            self.end(why, self._options.stop_grace_s)
        else:
            self._is_idle_again()

    # its answers

    async def _ask(self, message: bytes, jobs: int = 1) -> Frame:
        assert self._transport is not None  # noqa: S101
        self._job += 1
        self._answered = None
        self._reader.expect(self._job, jobs, self._job)
        self._answer = self._loop.create_future()
        self._transport.write(message)
        return await self._answer

    def _read(self, answer: Frame) -> Outcome:
        """What the answer to a job says. Raises ModelCrashed if it says that the process ends."""
        try:
            return outcome_of(answer, self._options.memory_limit_bytes)
        except ProcessEnds as end:
            self.how = self.how or str(end)
            self.is_no_good = answer.kind == BROKEN
        except (ValueError, TypeError):
            self.end(BROKE_THE_PROTOCOL, 0)
        raise ModelCrashed(f"the model's process {self.how}")

    def _read_batch(self, jobs: int, answer: Frame) -> list[BatchOutcome] | ModelRaised | ModelAskedAgain:
        """What the answer to a batch says: an outcome for each job, or how the call failed as a whole.

        Raises ModelCrashed if it says that the process ends without an outcome.
        """
        if answer.kind != OUTCOMES:
            outcome = self._read(answer)
            return self._protocol_broken() if isinstance(outcome, bytes) else outcome
        try:
            outcomes = outcomes_of(answer, jobs, self._options.memory_limit_bytes)
        except (ValueError, TypeError):
            self._protocol_broken()
        return [self._crash_of(outcome) if isinstance(outcome, ProcessEnds) else outcome for outcome in outcomes]

    def _crash_of(self, end: ProcessEnds) -> ModelCrashed:
        """The outcome of one job of several for which the model has said that its process is broken."""
        self.how = self.how or str(end)
        self.is_no_good = True
        return ModelCrashed(f"the model's process {end}")

    def _hear_of_model(self, answer: Frame) -> None:
        if answer.kind != LOADED or not answer.body:  # a template tells nothing
            return
        abilities, _, description = answer.body.partition(b"\n")
        try:
            self.abilities = Abilities.unpacked(abilities)
            told = Description.unpacked(description)
        except (ValueError, TypeError):
            self._protocol_broken()
        self._options.on_described(told)

    def _protocol_broken(self) -> NoReturn:
        self.end(BROKE_THE_PROTOCOL, 0)
        raise ModelCrashed(f"the model's process {self.how}")

    # what it is told

    def data_received(self, data: bytes) -> None:
        if self._calls:
            try:
                self._calls.feed(data)
            except FrameError:
                self.end(BROKE_THE_PROTOCOL, 0)
            return
        if self._answer.done() and self.state is ProcessState.ENDING:  # nobody waits for it any more
            return
        try:
            answer = self._reader.feed(data)
        except FrameError:
            self.end(BROKE_THE_PROTOCOL, 0)
        else:
            self._answered = answer
            # It is done if the job was cancelled in this very moment.
            if answer is not None and not self._answer.done():
                self._answer.set_result(answer)

    def _on_notice(self, notice: Frame) -> None:
        if self._calls:
            self._calls.on_notice(notice)
        elif notice.kind == WATCHES:
            self._is_watching = True
        elif self._on_event is not None:
            self._on_event(EVENTS[notice.kind], notice.body)

    def _hear_last_words(self, words: bytes) -> None:
        """Takes the answer that the model could not send, as it had closed its connection."""
        if self._calls:
            with contextlib.suppress(FrameError):
                self._calls.feed_last_words(words)
        if self._answer.done():
            return
        with contextlib.suppress(FrameError):
            self._reader.expect(self._job)
            if (answer := self._reader.feed(words)) is not None:
                self._answer.set_result(answer)

    def _hear_of_end(self, crash: ModelCrashed, not_forked: ModelNotForked | None) -> None:
        self._calls.crash(str(crash))
        if not self._answer.done():
            self._answer.set_exception(crash if not_forked is None or self.used else not_forked)

"""The scaler's round, once a second: look, decide or hold, tell, act.

Of several scalers one leads: it decides, and writes the decision and now and then the policy's state into Redis. The
others read the decision, so that whoever is asked says the same, and one that comes to lead goes on with the state.
A leader that has just been replaced may write once more: what it writes is as good as the other's first decision.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NoReturn, Protocol

from workers.scaler.decider import Brain
from workers.scaler.jobs import Jobs
from workers.scaler.memory import dump, load, verdict_of
from workers.scaler.observer import Unseen
from workers.stream import end, is_unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workers.scaler.memory import Verdict
    from workers.scaler.observer import Observer, Replicas
    from workers.scaler.policy import Options
    from workers.stream import Stream

logger = logging.getLogger(__name__)

ROUND_S = 1.0
_TELL_S = 5.0
_SAVE_S = 10.0
_LOG_S = 60.0
# A decision is told at least every 5 s: after so many nobody leads.
_OLD_S = 12.0
# Without workers the next round does not wait for its time when a job comes, but so many can't keep it busy.
_LEAST_ROUND_S = 0.05
# Until there is a first decision: who leads, and what there is, is found out within moments.
_FIRST_ROUND_S = 0.2


class Leadership(Protocol):
    """Who decides."""

    @property
    def leads(self) -> bool:
        """Whether this scaler does, just now."""


class Alone:
    """The leadership of a scaler that has no others beside it."""

    leads = True


class Scaler:
    """One scaler. `act` is called by the leader with each decision, and may raise Unseen.

    `verdict` is the decision in force, `outstanding` the jobs that were last seen to wait or run (None: they can't
    be seen), `replicas` the workers, and `changed` is set anew with each round.
    """

    def __init__(
        self,
        stream: Stream,
        options: Options,
        observer: Observer,
        leadership: Leadership,
        act: Callable[[Verdict], Awaitable[None]] | None = None,
    ) -> None:
        self._stream = stream
        self._options = options
        self._observer = observer
        self._leadership = leadership
        self._act = act
        self._woken = asyncio.Event()
        self._jobs: Jobs | None = None
        self._told: Verdict | None = None
        self._told_s = self._saved_s = self._logged_s = 0.0
        self._logged: tuple[int, bool] | None = None
        self._warned: set[str] = set()
        self._round_s = time.monotonic()
        self.brain: Brain | None = None
        self.verdict: Verdict | None = None
        self.outstanding: int | None = None
        self.replicas: Replicas | None = None
        self.changed = asyncio.Condition()
        self.changes = 0
        self.failures = 0

    @property
    def leads(self) -> bool:
        """Whether it decides."""
        return self._leadership.leads

    @property
    def active(self) -> bool:
        """Whether there is to be a worker at all: the decision, or a job that has come since."""
        return bool(self.verdict and self.verdict.replicas) or bool(self.outstanding)

    @property
    def age_s(self) -> float:
        """Seconds since the last round began: one that is stuck needs a restart."""
        return time.monotonic() - self._round_s

    async def run(self) -> NoReturn:
        """Never returns."""
        subscription = asyncio.create_task(self._stream.unserved(self._woken.set).run(), name="subscription")
        try:
            while True:
                self._round_s = time.monotonic()
                try:
                    await self._round()
                    self._warned.discard("round")
                except Exception:
                    # Whatever it is, it must not cost anybody their workers: what was decided holds.
                    if "round" not in self._warned:
                        logger.exception("a round failed")
                    self._warned.add("round")
                    self._hold("a round failed")
                async with self.changed:
                    self.changed.notify_all()
                await self._until_next_round()
        finally:
            await end(subscription)

    async def close(self) -> None:
        """Once `run` has ended: a leader saves its state."""
        if self.brain is not None and self.leads:
            await self._tell(self.brain, final=True)

    async def _until_next_round(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(_LEAST_ROUND_S)
        next_s = loop.time() + (ROUND_S if self.verdict is not None else _FIRST_ROUND_S) - _LEAST_ROUND_S
        try:
            async with asyncio.timeout_at(next_s):
                while True:
                    await self._woken.wait()
                    self._woken.clear()
                    if not self.active:
                        return
        except TimeoutError:
            pass

    async def _round(self) -> None:
        try:
            self.replicas = await self._observer.look()
        except Unseen as error:
            self.replicas, unseen = None, str(error)
        else:
            unseen = ""
        if self.leads:
            await self._lead(unseen)
        else:
            self.brain = self._jobs = None
            await self._follow()

    # the leader

    async def _lead(self, unseen: str) -> None:
        try:
            brain, jobs = await self._begin()
            if self.replicas is not None:
                brain.learn(startups_s=self.replicas.startups_s)
            seen = await jobs.look()
        except Unseen as error:
            self.outstanding = None
            self._hold(str(error))
        else:
            brain.learn(seen.services_s)
            self.outstanding = seen.waiting + seen.running
            if self.replicas is None:
                self._hold(unseen)
            else:
                self.verdict = brain.see(seen, self.replicas)
        if self.brain is None or self.verdict is None:
            return
        self._log(self.verdict)
        if self._act is not None:
            try:
                await self._act(self.verdict)
                self._warned.discard("act")
            except Unseen as error:
                self._warn("act", str(error))
        await self._tell(self.brain)

    async def _begin(self) -> tuple[Brain, Jobs]:
        if self.brain is None or self._jobs is None:
            try:
                memory = load(await self._stream.remembered())
            except Exception as error:
                if not is_unavailable(error):
                    raise
                raise Unseen(f"the stream can't be read ({error})") from error
            self._jobs = Jobs(self._stream, memory)
            self.brain = Brain(self._options, memory)
            self._saved_s = time.monotonic()
        return self.brain, self._jobs

    def _hold(self, why: str) -> None:
        self.failures += 1
        verdict = self.brain.hold(why) if self.brain is not None else None
        if verdict is not None:
            self.verdict = verdict
            return
        self._warn("look", why)
        if self.verdict is not None:
            self.verdict = _held(self.verdict, why)

    async def _tell(self, brain: Brain, final: bool = False) -> None:
        """Writes what has changed into Redis, as far as that can be reached."""
        verdict, jobs, now_s = brain.verdict, self._jobs, time.monotonic()
        if verdict is None or jobs is None:
            return
        fields = {}
        changed = self._told is None or (verdict.replicas, verdict.held) != (self._told.replicas, self._told.held)
        if changed or final or now_s - self._told_s >= _TELL_S:
            fields["decision"] = verdict.model_dump_json().encode()
        memory = brain.memory(jobs.count, jobs.arrived, jobs.services_seen)
        if memory is not None and (final or now_s - self._saved_s >= _SAVE_S):
            try:
                fields["state"] = dump(memory)
            except ValueError as error:
                self._warn("dump", str(error))
        if not fields:
            return
        try:
            await self._stream.remember(**fields)
        except Exception as error:
            if not is_unavailable(error):
                raise
            return
        if "decision" in fields:
            self._told, self._told_s = verdict, now_s
        if "state" in fields:
            self._saved_s = now_s

    def _log(self, verdict: Verdict) -> None:
        state, now_s = (verdict.replicas, verdict.held), time.monotonic()
        if not verdict.held:
            self._warned.discard("look")
        if state != self._logged or now_s - self._logged_s >= _LOG_S:
            if self._logged is not None and state[0] != self._logged[0]:
                self.changes += 1
            logger.info("%d replicas: %s", verdict.replicas, verdict.reason)
            self._logged, self._logged_s = state, now_s

    def _warn(self, what: str, text: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("%s", text)

    # the others

    async def _follow(self) -> None:
        try:
            demand = await self._stream.demand()
        except Exception as error:
            if not is_unavailable(error):
                raise
            self.outstanding = None
            self._hold(f"the stream can't be read ({error})")
            return
        self._warned.discard("look")
        self.outstanding = demand.waiting + demand.running
        told = verdict_of(demand.decision)
        if told is not None:
            limits = self._options
            within = max(limits.min_replicas, min(limits.max_replicas, told.replicas))
            self.verdict = told.model_copy(update={"replicas": within})
            age_s = (demand.now_ms - told.at_ms) / 1000
            if age_s > _OLD_S:
                self.verdict = _held(self.verdict, f"nobody has decided for {age_s:.0f} s")


def _held(verdict: Verdict, why: str) -> Verdict:
    return verdict.model_copy(update={"held": True, "reason": f"{why}: hold {verdict.replicas}"})

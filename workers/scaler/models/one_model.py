"""One model's part of a round: observe jobs and workers, decide or hold, carry out, publish. `rounds.py` calls it.

Of several scalers one leads: it decides, and writes the decision and now and then its memory into Redis. The others
read the decision, so that whichever is asked gives the same answer, and one that comes to lead goes on with the memory.
A leader that has just been replaced may write once more, which does no harm: it has seen the same as the new one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from workers.scaler.decider import Decider, followed, held
from workers.scaler.jobs import JobObserver, reading_stream
from workers.scaler.publisher import Publisher
from workers.scaler.reporting.decision_log import DecisionLog
from workers.scaler.reporting.status import ScalerStatus
from workers.scaler.surroundings import ActuationError, ObservationError
from workers.stream import bad_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workers.scaler.policy import Decision, Options
    from workers.scaler.surroundings import Actuator, Leadership, ReplicaObserver
    from workers.stream import Stream

logger = logging.getLogger(__name__)


class ModelScaler:
    """The scaler of one model. A leader calls `actuator` with each decision. What it knows is in `status`.

    `queue` names the model in the log where there are several.
    """

    def __init__(
        self,
        stream: Stream,
        options: Options,
        observer: ReplicaObserver,
        leadership: Leadership,
        actuator: Actuator | None = None,
        queue: str = "",
    ) -> None:
        self.stream = stream
        self.options = options
        self.queue = queue
        self._observer = observer
        self._actuator = actuator
        self._sound = False  # this round has not failed so far
        self._log = DecisionLog(queue)
        self._publisher = Publisher(stream, options, lambda text: self._log.trouble("memory", text))
        self._jobs: JobObserver | None = None
        self.decider: Decider | None = None  # while it leads
        self.busy = 0  # workers that held jobs when that was last seen
        self.status = ScalerStatus(leadership)

    async def observe(self) -> None:
        """The first half of a round: sees what there is, and decides, or takes over what the leader has decided.

        Raises what says that the server is the wrong one, if nothing has been decided yet.
        """
        self._sound = True
        await self._guarded(self._observe)

    async def settle(self) -> None:
        """The second half: has the decision carried out and published, if this scaler leads."""
        if self._sound:
            await self._guarded(self._settle)
        if self._sound:
            self._log.over("round")

    def trouble(self, what: str, error: Exception) -> None:
        """Holds the last decision: whatever has gone wrong must not cost anybody their workers."""
        self._sound = False
        if self._log.is_new("round"):
            logger.error("%s%s", what, f" ({self.queue})" if self.queue else "", exc_info=error)
        self._hold(what)

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except Exception as error:
            if self.status.decision is None and bad_server(error):
                raise
            self.trouble("a round failed", error)

    async def close(self) -> None:
        """Saves a leader's memory; to be called once `run` has ended."""
        if self.status.leads:
            await self._publish(final=True)

    async def _observe(self) -> None:
        unseen = ""
        try:
            self.status.replicas = await self._observer.observe()
        except ObservationError as error:
            self.status.replicas, unseen = None, str(error)
        if self.status.leads:
            await self._lead(unseen)
        else:
            self.decider = self._jobs = None
            self.status.denied, self.status.share = 0, None
            await self._follow()
        self.status.learnt = self.decider.state if self.decider is not None else None

    # the leader

    async def _lead(self, unseen: str) -> None:
        """Decides. `unseen` says why the workers can't be seen."""
        try:
            await self._decide(unseen)
        except ObservationError as error:
            self.status.outstanding = None
            self._hold(str(error))

    async def _settle(self) -> None:
        decision = self.status.decision
        if self.decider is None or decision is None:
            return
        if not decision.held:
            self._log.over("observation")
        self.status.changes += self._log.decided(decision)
        await self._carry_out(decision)
        await self._publish()

    async def _decide(self, unseen: str) -> None:
        if self.decider is None or self._jobs is None:
            memory = await self._publisher.restore()
            self._jobs, self.decider = JobObserver(self.stream, memory), Decider(self.options, memory)
        replicas = self.status.replicas
        if replicas is not None:
            self.decider.learn(startups_s=replicas.startups_s)
        jobs = await self._jobs.observe()
        self.decider.learn(jobs.services_s)
        self.status.outstanding, self.busy = jobs.waiting + jobs.running, jobs.busy
        if replicas is None:
            self._hold(unseen)
        else:
            self.status.decision = self.decider.decide(jobs, replicas)

    async def _carry_out(self, decision: Decision) -> None:
        if self._actuator is not None:
            try:
                await self._actuator(decision)
                self._log.over("actuation")
            except ActuationError as error:
                self._log.trouble("actuation", str(error))

    async def _publish(self, final: bool = False) -> None:
        decider, jobs = self.decider, self._jobs
        if decider is not None and decider.decision is not None and jobs is not None:
            memory = decider.memory(jobs.count, jobs.arrived, jobs.services_seen)
            seen = self.status.replicas
            parts_s = seen.startup_parts_s if seen is not None else None
            await self._publisher.publish(decider.decision, memory, self.status.share, parts_s, final)

    # the others

    async def _follow(self) -> None:
        try:
            with reading_stream():
                demand = await self.stream.demand()
        except ObservationError as error:
            self.status.outstanding = None
            self._hold(str(error))
            return
        self._log.over("observation")
        self.status.outstanding = demand.waiting + demand.running
        self.status.decision = followed(demand.decision, demand.now_ms, self.options) or self.status.decision

    # both

    def _hold(self, why: str) -> None:
        self.status.failures += 1
        decision = self.decider.hold(why) if self.decider is not None else None
        if decision is None:
            self._log.trouble("observation", why)
            decision = held(self.status.decision, why) if self.status.decision is not None else None
        self.status.decision = decision

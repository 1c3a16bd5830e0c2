"""One loop over several models, on a real server: each with a state of its own, together within a budget."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.queues import queue_name
from tests.workers.scaler.cluster.keda_client import KedaClient
from tests.workers.scaler.doubles import FixedWorkers
from tests.workers.scaler.tasks import PATIENCE_S, beside, until
from tests.workers.stream.actions import accept
from workers.scaler.cluster import externalscaler_pb2 as pb
from workers.scaler.cluster.keda import METRIC, KedaScaler
from workers.scaler.memory import load
from workers.scaler.models.one_model import ModelScaler
from workers.scaler.models.rounds import Rounds
from workers.scaler.models.sharing import Budget, BudgetPart
from workers.scaler.policy import Options
from workers.scaler.reporting.metrics import ScalerMetrics
from workers.scaler.reporting.probe import ScalerProbe
from workers.scaler.surroundings import ReplicasSeen, SoleLeader
from workers.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.scaler.policy import Decision
    from workers.stream import StreamSettings

OPTIONS = Options(min_replicas=1, max_replicas=6)


class TwoModels:
    """Two models' scalers, whose orders are kept."""

    def __init__(self, settings: StreamSettings, options: Options = OPTIONS) -> None:
        self.options = options
        self.streams = [Stream(settings.model_copy(update={"queue_name": queue_name()})) for _ in range(2)]
        self.workers = [FixedWorkers(), FixedWorkers()]
        self.orders: dict[str, list[int]] = {"whisper": [], "llava": []}
        self.scalers = [self._scaler(i, queue) for i, queue in enumerate(self.orders)]
        self.statuses = {scaler.queue: scaler.status for scaler in self.scalers}

    def _scaler(self, i: int, queue: str) -> ModelScaler:
        async def act(decision: Decision) -> None:
            self.orders[queue].append(decision.replicas)
            if self.workers[i].replicas is not None:  # they can be seen
                self.workers[i].replicas = ReplicasSeen(decision.replicas, decision.replicas)

        return ModelScaler(self.streams[i], self.options, self.workers[i], SoleLeader(), act, queue)

    def replicas(self) -> list[int]:
        return [status.decision.replicas if status.decision else -1 for status in self.statuses.values()]


@pytest.fixture
async def two_models(one_settings: StreamSettings) -> AsyncIterator[TwoModels]:
    """Two queues on one server."""
    models = TwoModels(one_settings)
    for stream in models.streams:
        await stream.open()
    yield models
    for stream in models.streams:
        await stream.close()


@contextlib.asynccontextmanager
async def rounds(models: TwoModels, budget: Budget | None = None) -> AsyncIterator[None]:
    async with beside(Rounds(models.scalers, budget).run()):
        yield
    for scaler in models.scalers:
        await scaler.close()


async def test_each_model_has_its_decision_and_its_memory(two_models: TwoModels) -> None:
    async with rounds(two_models):
        await until(lambda: two_models.replicas() == [1, 1])
        await accept(two_models.streams[1], 30)
        await until(lambda: two_models.replicas()[1] > 1)
        assert two_models.replicas()[0] == 1
    whisper, llava = [load(await stream.remembered()) for stream in two_models.streams]
    assert whisper is not None
    assert llava is not None
    assert (whisper.arrived, llava.arrived) == (0, 30)


async def test_what_cannot_be_seen_holds_itself_alone(two_models: TwoModels) -> None:
    async with rounds(two_models):
        await until(lambda: two_models.replicas() == [1, 1])
        two_models.workers[0].replicas = None
        await until(lambda: (decision := two_models.statuses["whisper"].decision) and decision.held)
        await accept(two_models.streams[1], 30)
        await until(lambda: two_models.replicas()[1] > 1)
        llava = two_models.statuses["llava"].decision
        assert llava is not None
        assert not llava.held
        assert two_models.replicas()[0] == 1


async def test_a_budget_is_shared_and_said(two_models: TwoModels) -> None:
    budget = Budget({"pods": 5.0}, {"whisper": BudgetPart(2, {"pods": 1.0}), "llava": BudgetPart(1, {"pods": 1.0})})
    async with rounds(two_models, budget):
        await accept(two_models.streams[1], 60)
        await until(lambda: two_models.replicas() == [1, 4])
        await accept(two_models.streams[0], 60)
        await until(lambda: two_models.replicas() == [2, 3])
        assert all(sum(pair) <= 5 for pair in zip(*two_models.orders.values(), strict=False))
        llava = two_models.statuses["llava"]
        assert llava.decision is not None
        assert "; the budget (5 pods) gives 3 of 6, 1 guaranteed" in llava.decision.reason
        assert llava.denied == 3
        # The policy goes on from what there is, not from what it wanted.
        decider = two_models.scalers[1].decider
        assert decider is not None
        assert decider.state is not None
        assert decider.state.replicas == 3


async def test_keda_asks_for_each_queue(two_models: TwoModels) -> None:
    keda_scaler = KedaScaler(two_models.statuses)
    port = await keda_scaler.open(0)

    def reference(queue: str) -> pb.ScaledObjectRef:
        return pb.ScaledObjectRef(name="x", namespace="leadtime", scalerMetadata={"queue": queue} if queue else {})

    async def metric(queue: str) -> int:
        request = pb.GetMetricsRequest(scaledObjectRef=reference(queue), metricName=METRIC)
        (value,) = (await keda.get_metrics(request, timeout=PATIENCE_S)).metricValues
        return int(value.metricValue)

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, rounds(two_models):
        keda = KedaClient(channel)
        await accept(two_models.streams[1], 30)
        await until(lambda: (two_models.statuses["llava"].told or 0) > 1)
        told = [status.told for status in two_models.statuses.values()]
        assert [await metric("whisper"), await metric("llava")] == told
        for queue, sentence in (
            ("wisper", "no model has the queue 'wisper': this scaler scales whisper, llava by KEDA"),
            ("", "the trigger's metadata names no queue: this scaler scales whisper, llava by KEDA"),
        ):
            for call in (keda.is_active, keda.get_metric_spec):
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await call(reference(queue), timeout=PATIENCE_S)
                assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
                assert raised.value.details() == sentence
    await keda_scaler.close()


async def test_keda_is_asked_for_no_pod_that_the_budget_denies(one_settings: StreamSettings) -> None:
    """Not even in the midst of a round, when the budget has yet to be shared."""
    models = TwoModels(one_settings, Options(max_replicas=6))
    for stream in models.streams:
        await stream.open()
    await accept(models.streams[0], 60)
    await accept(models.streams[1])
    budget = Budget({"pods": 1.0}, dict.fromkeys(models.statuses, BudgetPart(0, {"pods": 1.0})))
    keda_scaler = KedaScaler(models.statuses)
    port = await keda_scaler.open(0)
    reference = pb.ScaledObjectRef(name="x", namespace="leadtime", scalerMetadata={"queue": "llava"})
    request = pb.GetMetricsRequest(scaledObjectRef=reference, metricName=METRIC)
    llava = models.statuses["llava"]

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, rounds(models, budget):
        keda = KedaClient(channel)
        pushed = aiter(keda.stream_is_active(reference))
        await until(lambda: llava.denied == 1 and llava.told is not None)
        assert llava.outstanding == 1
        last_ms = llava.decision.at_ms if llava.decision is not None else 0

        def is_decided_again() -> bool:
            return llava.decision is not None and llava.decision.at_ms > last_ms

        while not is_decided_again():
            (value,) = (await keda.get_metrics(request, timeout=PATIENCE_S)).metricValues
            assert value.metricValue == 0
            assert not (await keda.is_active(reference, timeout=PATIENCE_S)).result
        assert not (await anext(pushed)).result
    await keda_scaler.close()
    for stream in models.streams:
        await stream.close()


async def test_metrics_and_readiness_are_by_queue(two_models: TwoModels) -> None:
    async with rounds(two_models):
        await accept(two_models.streams[1], 30)
        await until(lambda: two_models.replicas()[1] > 1)
        await until(lambda: two_models.statuses["whisper"].outstanding == 0)
        found = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(ScalerMetrics(two_models.statuses).text().decode())
            for sample in family.samples
        }
        assert found["leadtime_scaler_outstanding_jobs", "whisper"] == 0
        assert found["leadtime_scaler_outstanding_jobs", "llava"] == 30
        assert found["leadtime_scaler_replicas_wanted", "whisper"] == 1
        assert ("leadtime_scaler_workers", "ready", "whisper") in found
        assert found["leadtime_scaler_leads",] == 1
        answer = ScalerProbe(two_models.statuses)._ready()
        assert answer.good
        assert answer.detail.startswith("whisper: 1 replicas: ")
        assert "; llava: " in answer.detail

"""What is watched is there to be seen: the dashboard and the alerts ask for metrics that exist."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

import pytest
from arq.worker import func
from prometheus_client.parser import text_string_to_metric_families

from deploy.kubernetes.chart import CHART
from gateway.http.connection.budget import ByteBudget
from gateway.metrics import GatewayMetrics, QueueState, RecentTimes
from tests.deploy.chart.rendered import rendered, rendering
from workers.predict import predict
from workers.scaler.decider import Decider
from workers.scaler.jobs import JobsSeen
from workers.scaler.reporting.metrics import ScalerMetrics
from workers.scaler.reporting.status import ScalerStatus
from workers.scaler.settings import ScalerSettings
from workers.scaler.surroundings import ReplicasSeen, SoleLeader
from workers.settings import WorkerSettings
from workers.stream import Counts, ServerMemory
from workers.telemetry.metrics import WorkerMetrics
from workers.worker import Worker
from workers.worker.beside.probe import Probe


class Exported(NamedTuple):
    """Names of metrics: of all parts, and of the scaler."""

    all: set[str]
    scaler: set[str]


@pytest.fixture
async def exported() -> Exported:
    """What each part exports; metrics with labels have no sample before their first use."""
    worker = Worker([func(predict)], settings=WorkerSettings(), handle_signals=False)
    Probe(worker.session, worker.heartbeat, lambda: 0)
    state, memory = (
        QueueState(Counts(*[0] * len(Counts._fields)), 0.0, RecentTimes(1, 1, 1)),
        ServerMemory(1, 1, "noeviction"),
    )
    metrics = GatewayMetrics(ByteBudget(1))
    text = worker.metrics.text() + metrics.text({"": state}, 0, memory)
    await worker.close()
    assert isinstance(worker.metrics, WorkerMetrics)
    later = {f"leadtime_{name}" for name in ("http_requests_total", "pushes_total", "http_request_seconds_bucket")}
    return Exported(names_in(text) | names_in(scaler_metrics()) | later, names_in(scaler_metrics()))


def names_in(text: bytes) -> set[str]:
    return {sample.name for family in text_string_to_metric_families(text.decode()) for sample in family.samples}


def asked_in(expressions: list[str]) -> set[str]:
    return {name for expression in expressions for name in re.findall(r"\bleadtime_\w+", expression)}


def test_dashboard_asks_for_metrics_that_exist(exported: Exported) -> None:
    dashboard = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = asked_in(expressions)
    assert asked
    assert asked <= exported.all
    # What a scaler exports is there to be looked at.
    assert {name for name in exported.scaler if re.match(r"leadtime_\w+(?<!_created)$", name)} <= asked
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert {one["name"] for one in dashboard["templating"]["list"]} == {"datasource", "namespace", "release", "queue"}
    for expression in expressions:
        for selector in re.findall(r"leadtime_\w+(\{[^}]*\})?", expression):
            assert 'namespace=~"$namespace",release=~"$release"' in selector
    assert any('queue=~"$queue"' in expression for expression in expressions)


def test_alerts_ask_for_metrics_of_this_release_that_exist(exported: Exported) -> None:
    (rule,) = rendered("production").of_kind("PrometheusRule")
    rules = [one for group in rule["spec"]["groups"] for one in group["rules"]]
    assert asked_in([one["expr"] for one in rules]) <= exported.all
    by_queue = [(one["alert"], one["labels"]["queue"]) for one in rules if "queue" in one["labels"]]
    assert len(set(by_queue)) == len(by_queue) == 8
    assert {one["alert"] for one in rules} == {
        *("LeadtimeJobsWaitTooLong", "LeadtimeNoWorkerForWaitingJobs", "LeadtimeDeadLettersGrow"),
        *("LeadtimeAttemptsRise", "LeadtimeScalerHolds", "LeadtimeServerMemory"),
    }
    for one in rules:
        series = re.findall(r"leadtime_\w+\{([^}]*)\}", one["expr"])
        assert len(series) == len(re.findall(r"leadtime_\w+\{", one["expr"])) > 0
        assert all('namespace="leadtime",release="leadtime"' in labels for labels in series)
    # The model's objective, if it has one.
    waits = [one["expr"].rpartition("> ")[2] for one in rules if one["alert"] == "LeadtimeJobsWaitTooLong"]
    assert waits == ["20", "300"]


@pytest.mark.parametrize("models", [["toy"], ["slow", "quick"]])
def test_every_pod_is_scraped_with_its_release_and_queue(models: list[str]) -> None:
    found = rendering(models=[{"name": name} for name in models], monitoring={"monitors": {"enabled": True}})
    pods = [one["spec"]["template"] for one in found.of_kind("Deployment")]
    for monitor in found.of_kind("PodMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (pod,) = (one for one in pods if wanted <= one["metadata"]["labels"].items())
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in [port["name"] for port in pod["spec"]["containers"][0]["ports"]]
        labels = {one["targetLabel"]: one["replacement"] for one in endpoint["relabelings"]}
        assert labels["release"] == "leadtime"
        of_workers = monitor["metadata"]["labels"]["app.kubernetes.io/component"] == "worker"
        assert ("queue" in labels) is (of_workers or len(models) == 1)
    assert len(found.of_kind("PodMonitor")) == len(pods)


def scaler_metrics() -> bytes:
    """Of a scaler that has decided."""
    decider, status = Decider(ScalerSettings().policy_options), ScalerStatus(SoleLeader())
    status.replicas, status.outstanding = ReplicasSeen(0, 0, startup_parts_s={"loaded": 17.0}), 1
    status.decision = decider.decide(JobsSeen(1.0, 1000, 1, 1, 0, ()), status.replicas)
    status.learnt = decider.state
    return ScalerMetrics(status).text()

"""What is watched is there to be seen: the dashboard and the alerts ask for metrics that exist."""

from __future__ import annotations

import json
import re

from arq.worker import func
from prometheus_client.parser import text_string_to_metric_families

from deploy.kubernetes.chart import CHART
from gateway.http.connection.budget import ByteBudget
from gateway.metrics import GatewayMetrics
from workers.predict import predict
from workers.scaler.decider import Decider
from workers.scaler.jobs import JobsSeen
from workers.scaler.metrics import ScalerMetrics
from workers.scaler.settings import ScalerSettings
from workers.scaler.status import ScalerStatus
from workers.scaler.surroundings import ReplicasSeen, SoleLeader
from workers.settings import WorkerSettings
from workers.stream import Counts
from workers.telemetry.metrics import WorkerMetrics
from workers.worker import Worker
from workers.worker.beside.probe import Probe


async def test_dashboard_asks_for_metrics_that_exist() -> None:
    worker = Worker([func(predict)], settings=WorkerSettings(), handle_signals=False)
    Probe(worker.session, worker.heartbeat, lambda: 0)
    text = worker.metrics.text() + GatewayMetrics(ByteBudget(1)).text({"": Counts(*[0] * len(Counts._fields))}, 0)
    await worker.close()
    scaler = scaler_metrics()
    text += scaler
    known = {sample.name for family in text_string_to_metric_families(text.decode()) for sample in family.samples}
    # Metrics with labels have no sample before their first use.
    known |= {f"leadtime_{name}" for name in ("http_requests_total", "pushes_total", "http_request_seconds_bucket")}
    assert isinstance(worker.metrics, WorkerMetrics)
    dashboard = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked |= set(re.findall(r"\bleadtime_\w+", target["expr"]))
    assert asked
    assert asked <= known
    # What a scaler exports is there to be looked at.
    exported = {
        sample.name for family in text_string_to_metric_families(scaler.decode()) for sample in family.samples
    }  # fmt: skip
    assert {name for name in exported if re.match(r"leadtime_\w+(?<!_created)$", name)} <= asked
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def scaler_metrics() -> bytes:
    """Of a scaler that has decided."""
    decider, status = Decider(ScalerSettings().policy_options), ScalerStatus(SoleLeader())
    status.replicas, status.outstanding = ReplicasSeen(0, 0), 1
    status.decision = decider.decide(JobsSeen(1.0, 1000, 1, 1, 0, ()), status.replicas)
    status.learnt = decider.state
    return ScalerMetrics(status).text()

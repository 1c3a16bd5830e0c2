"""The trace of a job as a real collector gets it from gateway, worker and model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from tests.collector import BUILD_S, OtelCollector, built_collector
from tests.gateway.service import GatewayProcess
from tests.spans import PARENT, TRACE
from tests.workers.service import WorkerProcess, until
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from pathlib import Path

    from workers.stream import Stream, StreamSettings

MODEL = "tests.workers.telemetry.traced_model:TracedModel"
# Each span's service, name, and what is above it.
EXPECTED = {
    ("leadtime-gateway", "POST /push"): PARENT,
    ("leadtime-worker", "wait {queue}"): "POST /push",
    ("leadtime-worker", "process {queue}"): "POST /push",
    ("leadtime-worker", "predict"): "process {queue}",
    ("my-model", "upper"): "predict",
}


@pytest.mark.slow
@pytest.mark.timeout(BUILD_S + 120)
async def test_a_collector_gets_one_trace_from_gateway_worker_and_model(
    stream: Stream, settings: StreamSettings, tmp_path: Path
) -> None:
    queue, secret = settings.queue_name, "a-secret-input"
    own = WorkerSettings(redis_url=settings.redis_url, queue_name=queue)
    collector = OtelCollector(built_collector(tmp_path), tmp_path)
    otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with collector.process:
        await until(lambda: collector.listens)
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        with WorkerProcess(tmp_path, own, MODEL=MODEL, **otel) as worker:
            async with GatewayProcess(settings, **otel) as gateway:
                params = {"input": secret, "wait": "60"}
                async with gateway.http.post("/push", params=params, headers=headers) as response:
                    assert response.status == 200, await response.text()
                    output = (await response.json())["output"]
                await until(lambda: len(collector.spans()) >= len(EXPECTED))
            assert await worker.stopped() == 0
        spans = collector.spans()

    assert {span["traceId"] for span in spans} == {TRACE}
    names = {span["spanId"]: span["name"].replace(queue, "{queue}") for span in spans} | {PARENT: PARENT}
    above = {(span["service"], span["name"].replace(queue, "{queue}")): names[span["parentSpanId"]] for span in spans}
    assert above == EXPECTED
    [predict] = [span for span in spans if span["name"] == "predict"]
    assert output == f"{secret.upper()} 00-{TRACE}-{predict['spanId']}-01"
    assert secret not in orjson.dumps(spans).decode()

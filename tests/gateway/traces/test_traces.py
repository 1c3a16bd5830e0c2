"""The spans of a job, from its push to its webhook, and the traces that metrics name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.gateway.service import serving, status_of
from tests.prometheus import PrometheusServer, is_there
from tests.spans import PARENT, TRACE, SpanMemory, about, ids
from tests.workers.service import running, until
from tests.workers.webhooks.receiver import Receiver
from workers.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.stream import Stream, StreamSettings

SECRET = "a-secret-input"
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"}


async def predict(ctx: dict[Any, Any], input: Any) -> Any:  # noqa: A002
    if input == "bad":
        raise LookupError(SECRET)
    return {"output": ctx["traceparent"]}


@pytest.fixture
def memory() -> SpanMemory:
    return SpanMemory()


@pytest.fixture
async def base(settings: StreamSettings, stream: Stream, memory: SpanMemory) -> AsyncIterator[str]:
    """A traced gateway and a traced worker."""
    own = WorkerSettings(redis_url=settings.redis_url, queue_name=settings.queue_name, grace_s=5)
    more = {"webhook_secrets": "the-service-secret-of-today", "webhook_allow": "127.0.0.1"}
    async with (
        serving(settings, tracer=memory.tracer, **more) as url,
        running(own, [predict], tracer=memory.tracer) as worker,
    ):
        await worker.ready.wait()
        yield url


async def pushed(base: str, text: str, flags: str = "01", **query: str) -> dict[str, Any]:
    """The answer to a push that waits for its job."""
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-{flags}"}
    params = {"input": text, "wait": "30", **query}
    async with aiohttp.ClientSession(base, headers=headers) as http, http.post("/push", params=params) as response:
        assert response.status == 200, await response.text()
        return dict(await response.json())


async def test_a_job_is_one_trace_from_its_push_to_its_webhook(
    base: str, memory: SpanMemory, settings: StreamSettings
) -> None:
    receiver = Receiver(lambda count: web.Response(status=204))
    async with receiver.serving() as hook:
        document = await pushed(base, SECRET, webhook=f"{hook}/hook")
        [got] = await receiver.until(1)
        await until(lambda: len(memory.ended) == 4)

    queue, job_id = settings.queue_name, document["id"]
    [push], [wait] = memory.named("POST /push"), memory.named(f"wait {queue}")
    [attempt], [webhook] = memory.named(f"process {queue}"), memory.named("POST")[-1:]
    assert [span.kind for span in (push, wait, attempt, webhook)] == [
        SpanKind.SERVER,
        SpanKind.INTERNAL,
        SpanKind.CONSUMER,
        SpanKind.CLIENT,
    ]
    pushs_id = ids(push)[2]
    assert ids(push)[:2] == (TRACE, PARENT)
    assert {ids(span)[:2] for span in (wait, attempt, webhook)} == {(TRACE, pushs_id)}
    assert document["output"] == f"00-{TRACE}-{ids(attempt)[2]}-01"
    assert got.headers["traceparent"] == f"00-{TRACE}-{ids(webhook)[2]}-01"
    assert (
        about(push).items()
        >= {
            "http.request.method": "POST",
            "http.route": "/push",
            "http.response.status_code": 200,
            "messaging.system": "leadtime",
            "messaging.operation.type": "send",
            "messaging.destination.name": queue,
            "messaging.message.id": job_id,
        }.items()
    )
    assert about(wait)["leadtime.wait.for"] == "busy"
    assert (
        about(attempt).items()
        >= {
            "messaging.operation.type": "process",
            "messaging.destination.name": queue,
            "messaging.message.id": job_id,
            "leadtime.attempt": 1,
            "leadtime.function": "predict",
            "leadtime.outcome": "finished",
        }.items()
    )
    assert (
        about(webhook).items()
        >= {
            "http.request.method": "POST",
            "http.response.status_code": 204,
            "server.address": "127.0.0.1",
            "messaging.message.id": job_id,
            "leadtime.webhook.event": "finished",
        }.items()
    )
    assert SECRET not in "".join(span.to_json() for span in memory.ended)


async def test_a_failure_is_in_the_trace_by_its_type_alone(base: str, memory: SpanMemory) -> None:
    document = await pushed(base, "bad")
    await until(lambda: bool(memory.named("process")))

    [attempt] = memory.named("process")
    assert document["error"]["type"] == "LookupError"
    assert (about(attempt)["error.type"], about(attempt)["leadtime.outcome"]) == ("LookupError", "failed")
    assert attempt.status.status_code is StatusCode.ERROR
    assert SECRET not in "".join(span.to_json() for span in memory.ended)


async def test_the_jobs_of_a_batch_are_below_its_push(base: str, memory: SpanMemory) -> None:
    async with aiohttp.ClientSession(base) as http, http.post("/batches", json=["a", "b"]) as response:
        assert response.status == 202
        batch_id = (await response.json())["id"]
    await until(lambda: len(memory.named("process")) == 2)

    [push] = memory.named("POST /batches")
    assert about(push)["leadtime.batch.id"] == batch_id
    assert {ids(span)[:2] for span in memory.named("process")} == {(ids(push)[0], ids(push)[2])}


async def test_a_webhook_that_is_refused_is_a_failed_span(base: str, memory: SpanMemory) -> None:
    receiver = Receiver(lambda count: web.Response(status=410))
    async with receiver.serving() as hook:
        await pushed(base, "hello", webhook=f"{hook}/hook?token={SECRET}")
        await until(lambda: any(span.kind is SpanKind.CLIENT for span in memory.ended))

    [webhook] = [span for span in memory.ended if span.kind is SpanKind.CLIENT]
    assert (about(webhook)["http.response.status_code"], about(webhook)["error.type"]) == (410, "410")
    assert webhook.status.status_code is StatusCode.ERROR
    assert SECRET not in "".join(span.to_json() for span in memory.ended)


async def test_a_push_whose_trace_is_not_sampled_has_no_spans_and_its_model_is_told_so(
    base: str, memory: SpanMemory
) -> None:
    document = await pushed(base, "quiet", flags="00")

    assert (document["output"][3:35], document["output"][-3:]) == (TRACE, "-00")
    assert not memory.ended


async def test_metrics_name_traces_where_the_scraper_takes_openmetrics(base: str, memory: SpanMemory) -> None:
    await pushed(base, "hello")
    async with aiohttp.ClientSession(base) as http:
        assert await status_of(http.post("/push")) == 400
        async with http.get("/metrics", headers=OPENMETRICS) as response:
            assert response.content_type == "application/openmetrics-text"
            text = await response.text()
        async with http.get("/metrics") as response:
            assert response.content_type == "text/plain"
            assert TRACE not in await response.text()

    found = {
        sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar and sample.labels.get("endpoint") == "push"
    }
    assert TRACE in found
    assert found <= {ids(span)[0] for span in memory.named("POST /push")}


@pytest.mark.slow
@pytest.mark.skipif(not is_there(), reason="no Prometheus is installed")
async def test_a_real_prometheus_finds_the_trace_of_a_slow_push(base: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("groups: []\n", encoding="utf-8")
    await pushed(base, "hello")
    query = {"query": "leadtime_http_request_seconds_bucket", "start": "0", "end": str(time.time() + 3600)}
    async with PrometheusServer(tmp_path, [(base.removeprefix("http://"), {})], rules) as server:
        await server.scraped()
        found = await server.ask("query_exemplars", **query)

    assert TRACE in [one["labels"]["trace_id"] for series in found for one in series["exemplars"]]

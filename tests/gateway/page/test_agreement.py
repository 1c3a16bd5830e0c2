"""The page, `leadtime top` and /metrics of gateway and scaler say the same of the same queues."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from gateway.client.command.main import leadtime
from gateway.client.command.units import duration, number
from gateway.page.steps import Step
from tests.gateway.page.browser import faults_of
from tests.gateway.page.browser import opened as page_opened
from tests.gateway.service import serving
from tests.queues import opened
from tests.workers.scaler.doubles import FixedWorkers
from tests.workers.scaler.tasks import beside, until
from tests.workers.stream.actions import accept
from workers.scaler.models.one_model import ModelScaler
from workers.scaler.models.rounds import Rounds
from workers.scaler.models.sharing import Budget, BudgetPart
from workers.scaler.policy import Options
from workers.scaler.reporting.metrics import ScalerMetrics
from workers.scaler.surroundings import ReplicasSeen, SoleLeader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from playwright.async_api import Page

    from workers.scaler.reporting.status import ScalerStatus
    from workers.stream import Stream, StreamSettings

VALUES = [
    0, 0.0004, 0.0012, 0.5, 0.9994, 0.9996, 1, 1.25, 2.5, 9.96, 10, 59.5, 119.4, 119.6, 120, 130.4, 3599, 7199.6, 7200,
    86_399, 172_799, 172_800, 9999, 10_000, 1_234_567.8,
]  # fmt: skip
WRITE = """async (values) => {
  const { duration, number } = await import('./ui/dom.js');
  return values.map((value) => [duration(value), number(value)]);
}"""
BUDGET = {"pods": 4.0, "gpu": 6.0}
NAMES = ("llava", "whisper")
FIGURES = ("Waiting", "Running", "Jobs/s", "Latency p50", "Latency p95")
LOOK = """() => Object.fromEntries([...document.querySelectorAll('.queue')].map((card) => [
  card.querySelector('h2').textContent, {
  figures: Object.fromEntries([...card.querySelectorAll('.figure')].map((one) => [one.children[0].textContent,
    one.children[1].textContent])),
  reason: card.querySelector('.reason').textContent,
  forecast: card.querySelector('.scaler .muted').textContent,
  budget: [...document.querySelectorAll('.budget tbody tr')].find((row) =>
    row.children[0].textContent === card.querySelector('h2').textContent)?.innerText.split('\\t').slice(0, 4),
}]))"""


class TwoQueues(NamedTuple):
    """A gateway with two queues, whose models share a budget. The scaler has stopped, so that all stays as it is."""

    base: str
    statuses: Mapping[str, ScalerStatus]


async def _filled(stream: Stream, jobs: int, latencies: tuple[float, ...]) -> None:
    await stream.register("worker-1", 60, {"state": "idle", "ready_since": 5, "concurrency": 1, "job": ""})
    await stream.register("worker-2", 60, {"state": "starting", "starting_since": 5, "concurrency": 1, "job": ""})
    await accept(stream, jobs)
    assert len(await stream.claim("worker-1", 1)) == 1
    await stream.redis.set(f"{stream.prefix}:historian", "the test")
    now_ms = (await stream.overviews.read()).now_ms
    step = Step(ended=len(latencies), latencies=latencies, waits=latencies)
    assert await stream.overviews.write("the test", now_ms - 20_000, step.dump())


async def _decided(streams: Mapping[str, Stream]) -> Mapping[str, ScalerStatus]:
    parts = {name: BudgetPart(1, {"pods": 1.0, "gpu": 2.0 if name == "llava" else 1.0}) for name in NAMES}
    workers = [FixedWorkers() for _ in streams]
    scalers = [
        ModelScaler(stream, Options(max_replicas=6), one, SoleLeader(), None, name)
        for one, (name, stream) in zip(workers, streams.items(), strict=True)
    ]
    statuses = {scaler.queue: scaler.status for scaler in scalers}
    for worker in workers:
        worker.replicas = ReplicasSeen(0, 0, startup_parts_s={"loaded": 17.25, "pulled": 3.0})
    async with beside(Rounds(scalers, Budget(BUDGET, parts)).run()):
        await until(lambda: all(status.share and status.denied for status in statuses.values()))
    for scaler in scalers:
        await scaler.close()
    return statuses


@pytest.fixture
async def two_queues(settings: StreamSettings) -> AsyncIterator[TwoQueues]:
    """Both are waited for, run and served, and want more than there is."""
    own = {name: settings.model_copy(update={"queue_name": name}) for name in NAMES}
    async with opened(own["llava"]) as llava, opened(own["whisper"]) as whisper:
        await _filled(llava, 40, (0.25, 0.5, 12.0))
        await _filled(whisper, 60, (1.0, 2.5, 2.5, 130.0))
        statuses = await _decided({"llava": llava, "whisper": whisper})
        async with serving(own["llava"], queues=",".join(NAMES)) as base:
            yield TwoQueues(base, statuses)
        for stream in (llava, whisper):
            await stream.redis.delete(*await stream.redis.keys(f"{stream.prefix}*"))


async def _samples(base: str) -> dict[tuple[str, ...], float]:
    async with aiohttp.ClientSession(base) as http, http.get("/metrics") as response:
        return _by_labels(await response.text())


def _by_labels(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def _top(base: str, *more: str) -> str:
    run = CliRunner(env={"LEADTIME_URL": base}).invoke
    done = await asyncio.to_thread(run, leadtime, ["top", "--count", "1", *more])
    assert done.exit_code == 0, done.output
    return done.output


async def test_top_says_what_the_metrics_of_gateway_and_scaler_say(two_queues: TwoQueues) -> None:
    before = await _samples(two_queues.base)
    document = json.loads(await _top(two_queues.base, "--json"))
    after = await _samples(two_queues.base)
    scalers = _by_labels(ScalerMetrics(two_queues.statuses).text().decode())

    assert [one["queue"] for one in document["queues"]] == [*NAMES]
    for one in document["queues"]:
        name, scaler = one["queue"], one["scaler"]

        def of(figure: str, *labels: str, name: str = name) -> float:
            return before[f"leadtime_{figure}", *sorted((*labels, name))]

        released_or_ahead = of("jobs_released") + of("jobs_ahead")
        assert one["waiting"] == of("jobs_waiting") + released_or_ahead
        assert one["running"] == of("jobs_pending") - released_or_ahead == 1
        assert (one["deferred"], one["dead"]) == (of("jobs_deferred"), of("dead_letters"))
        assert sum(one["workers"].values()) == of("workers") == 2
        assert one["latency_p50_s"] == of("job_latency_seconds", "0.5")
        assert one["latency_p95_s"] == of("job_latency_seconds", "0.95")
        assert one["wait_p95_s"] == of("job_wait_seconds", "0.95")
        oldest = ("leadtime_jobs_longest_wait_seconds", name)
        assert before[oldest] <= one["oldest_wait_s"] <= after[oldest], "each look is later than the one before"

        assert scaler["replicas"] == scalers["leadtime_scaler_replicas_wanted", name]
        assert scaler["rate"] == pytest.approx(scalers["leadtime_scaler_expected_rate", name], rel=0.005)
        for part, seconds in scaler["startup_parts_s"].items():
            assert seconds == pytest.approx(
                scalers["leadtime_scaler_startup_part_seconds", *sorted((part, name))], rel=0.005
            )
        assert [*scaler["startup_parts_s"]] == ["loaded", "pulled"]
        assert scaler["share"]["wanted"] - scaler["replicas"] == scalers["leadtime_scaler_replicas_denied", name]
        assert (scaler["share"]["budget"], scaler["share"]["guaranteed"]) == (BUDGET, 1)
        assert "the budget (4 pods, 6 gpu) gives" in scaler["share"]["reason"]
    assert sum(one["scaler"]["replicas"] * one["scaler"]["share"]["takes"]["gpu"] for one in document["queues"]) <= 6


@pytest.mark.slow
async def test_the_page_says_what_top_says(two_queues: TwoQueues) -> None:
    async with page_opened(f"{two_queues.base}/") as (page, complaints):
        await page.get_by_role("region", name="Budget").wait_for()
        shown = await _until_two(page)
        assert await page.locator(".queue").count() == len(NAMES)
        assert await faults_of(page) == []
        assert await page.evaluate(WRITE, VALUES) == [[duration(value), number(value)] for value in VALUES]
        assert complaints == []
    lines = (await _top(two_queues.base)).splitlines()

    rows = {cells[0]: cells for line in lines[1:3] if (cells := re.split(r"\s{2,}", line))}
    assert re.split(r"\s{2,}", lines[0])[:3] == ["queue", "waiting", "running"]
    for name in NAMES:
        page_says = shown[name]
        _, waiting, running, _, ended, _, p50, p95, _ = rows[name]
        assert [page_says["figures"][figure] for figure in FIGURES] == [waiting, running, ended, p50, p95]
        reason = lines.index(page_says["reason"])
        assert lines[reason - 1] == f"{name}: workers: 1 busy, 1 starting"
        assert set(page_says["forecast"].split(" · ")) < set(lines[reason + 1].split(" · "))
        budget = next(re.split(r"\s{2,}", line) for line in lines[reason:] if line.startswith(f"{name} "))
        assert page_says["budget"] == budget[:4]


async def _until_two(page: Page) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while len(shown := await page.evaluate(LOOK)) < len(NAMES):
            await page.wait_for_timeout(100)
    return dict(shown)

"""A real Prometheus scrapes a service that has had jobs: no query of the dashboard and no alert is without a value."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import pytest

from tests.deploy.chart.alerting import dashboard_queries, labels_of, rules_of, sides, variable_queries, write_rules
from tests.deploy.chart.rendered import rendering
from tests.fleet.client import PersistentClient
from tests.processes import PATIENCE_S, LoggedProcess, module
from tests.prometheus import PrometheusServer, is_there, promtool
from tests.servers import free_port
from tests.workers.scaler.fake_kubernetes import NAMESPACE, FakeApiServer, api_server

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.servers import Server

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not is_there(), reason="needs prometheus and promtool")]

MODEL = """
import os

class Model:
    def predict(self, input):
        if input == "crash":
            os._exit(1)
        return input
"""
QUEUES = ("whisper", "quick")
CHART: dict[str, Any] = {
    "models": [{"name": queue, "scaling": "direct"} for queue in QUEUES],
    "gateway": {"metricsPort": 9100},
    "monitoring": {"monitors": {"enabled": True}, "rules": {"enabled": True}},
}


class WatchedService:
    """A gateway for two queues, a worker of each, and a scaler whose cluster has only the first one's Deployment."""

    def __init__(self, server: Server, api: FakeApiServer, folder: Path) -> None:
        self._folder = folder
        self._parts: list[LoggedProcess] = []
        (folder / "model.py").write_text(MODEL, encoding="utf-8")
        (folder / "models.yaml").write_text(
            f"models:\n  - {{queue: {QUEUES[0]}, deployment: workers, scaling: direct}}\n"
            f"  - {{queue: {QUEUES[1]}, deployment: nowhere, scaling: direct}}\n",
            encoding="utf-8",
        )
        self.port = free_port()
        self.metrics_port = free_port()
        self.scaler_port = free_port()
        self.worker_ports = {queue: free_port() for queue in QUEUES}
        self._environment = {
            **os.environ,
            "REDIS_URL": server.url,
            "MODEL": f"{folder / 'model.py'}:Model",
            "MAX_ATTEMPTS": "2",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "QUEUES": ",".join(QUEUES),
            "MODELS_FILE": str(folder / "models.yaml"),
            "KUBERNETES_URL": api.url,
            "POD_NAMESPACE": NAMESPACE,
        }

    async def __aenter__(self) -> Self:
        """Returns when all parts are ready."""
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in self._parts:
            part.kill()
            part.reap()

    async def _start(self) -> None:
        gateway = self._started("gateway", "gateway")
        for queue, port in self.worker_ports.items():
            self._started("workers", f"worker-{queue}", QUEUE_NAME=queue, PROBE_PORT=str(port))
        self._started("workers.scaler", "scaler", PROBE_PORT=str(self.scaler_port))
        await gateway.says("Uvicorn running on")
        for worker in self._parts[1:-1]:
            await worker.says("ready: ")

    def _started(self, name: str, log: str, **own: str) -> LoggedProcess:
        part = LoggedProcess(module(name), {**self._environment, **own}, self._folder / f"{log}.log")
        self._parts.append(part)
        return part


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One for the service alone: a model's folder is on its path."""
    (tmp_path / "service").mkdir()
    return tmp_path / "service"


async def use(service: WatchedService, api: FakeApiServer) -> None:
    """Some jobs for each queue, one that is tried twice and fails, and a pod that starts as the scaler has ordered."""
    async with PersistentClient(f"http://127.0.0.1:{service.port}") as client:
        for queue in QUEUES:
            jobs = [
                str((await client.accepted(f"/queues/{queue}/push", lambda: {"json": "fine"}))["id"]) for _ in range(5)
            ]
            crash = await client.accepted(f"/queues/{queue}/push", lambda: {"json": "crash"})
            for job_id in jobs:
                await client.result(job_id)
            status, job = await client.ask("GET", f"/status/{crash['id']}?wait={PATIENCE_S / 2:.0f}")
            assert (status, job["status"], job["attempts"]) == (200, "failed", 2)
    name = next(iter(api.pods), "") or api.add()
    now_s = time.time()
    api.events[name] = ['Successfully pulled image "x" in 3s (3s including waiting). Image size: 1 bytes.']
    api.start(name, now_s - 20, now_s - 15, now_s)


async def test_no_query_of_the_dashboard_and_no_alert_is_empty(valkey: Server, folder: Path, tmp_path: Path) -> None:
    chart = rendering(**CHART)
    async with api_server() as api, WatchedService(valkey, api, folder) as service:
        targets = [
            (f"127.0.0.1:{service.metrics_port}", labels_of(chart, "gateway")),
            (f"127.0.0.1:{service.scaler_port}", labels_of(chart, "scaler")),
            *((f"127.0.0.1:{port}", labels_of(chart, "worker", queue)) for queue, port in service.worker_ports.items()),
        ]
        async with PrometheusServer(tmp_path, targets, write_rules(chart, tmp_path)) as prometheus:
            await prometheus.scraped()
            await use(service, api)

            asked = {f"{query.panel}: {query.expression}": query.expression for query in dashboard_queries()}
            for rule in rules_of(chart):
                for side in sides(rule["expr"]):
                    asked[f"{rule['alert']}: {side}"] = side
            await answered(prometheus, asked)

            for name, (metric, label) in variable_queries().items():
                values = set(await prometheus.ask(f"label/{label}/values", **{"match[]": metric}))
                assert values == {"namespace": {"leadtime"}, "release": {"leadtime"}, "queue": set(QUEUES)}[name]
            groups = (await prometheus.ask("rules"))["groups"]
            health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
            assert health == dict.fromkeys((rule["alert"] for rule in rules_of(chart)), "ok")
        await check_metrics(target for target, _ in targets)


async def check_metrics(targets: Iterable[str]) -> None:
    """Promtool finds no fault with what is served there."""
    async with aiohttp.ClientSession() as session:
        for target in targets:
            async with session.get(f"http://{target}/metrics") as response:
                served = await response.text()
            code, said = promtool("check", "metrics", given=served)
            assert (code, said) == (0, ""), target


async def answered(prometheus: PrometheusServer, asked: dict[str, str]) -> None:
    """Returns once each expression has a value; otherwise tells which have none."""
    deadline = time.monotonic() + PATIENCE_S
    empty = list(asked)
    while empty := [name for name in empty if not await prometheus.values(asked[name])]:
        assert time.monotonic() < deadline, "without a value:\n" + "\n".join(empty)
        await asyncio.sleep(1)

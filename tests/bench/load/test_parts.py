"""Parts of the load generator: inputs, clocks, lateness, what is seen of queue and pods."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from bench.common.arrivals import LoadError
from bench.load.account import RunClock, UserJob
from bench.load.generator import Generator
from bench.load.notes import lateness
from bench.load.observer import WORKERS, LoadObserver, ObserverError, QueueSource, cluster, states
from bench.load.plan import LoadPlan, input_body
from tests.bench.services import service
from tests.serving import serving
from workers.stream import NewJob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Server


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ("hello", "hello"),
        ("hello {n}", "hello 7"),
        ('"hello {n}"', "hello 7"),
        ("{n}", 7),
        ('{"n": {n}, "kept": "{other}"}', {"n": 7, "kept": "{other}"}),
        ("[{n}, {service_s}]", [7, 0.25]),
        ('größe "{n}', 'größe "7'),
    ],
)
def test_inputs(template: str, body: Any) -> None:
    assert json.loads(input_body(template, 7, 0.25)) == body


def test_input_without_service_seconds_is_null() -> None:
    assert json.loads(input_body("{service_s}", 1, None)) is None


@pytest.mark.parametrize("template", ["", "  ", '""'])
def test_empty_input(template: str) -> None:
    with pytest.raises(LoadError, match="empty"):
        Generator(LoadPlan("constant:1", input=template))


@pytest.mark.parametrize("text", [None, 3, "", "soon", "2026-13-01T00:00:00Z"])
def test_time_that_is_none(text: object) -> None:
    assert RunClock().read(text) is None


def test_clock_reads_the_service_s_times() -> None:
    clock = RunClock()
    later = (clock.started + datetime.timedelta(seconds=90)).isoformat().replace("+00:00", "Z")
    assert clock.read(later) == pytest.approx(90, abs=0.002)


@pytest.mark.parametrize(
    ("late_s", "said"),
    [
        ([], ""),
        ([0.001] * 100, "Every request left within 10 ms of its time."),
        ([*[0.001] * 199, 0.601], "0.5 % of the requests left more than 10 ms late: all are 0.004 s late on average, "
         "0.601 s at most. Latency counts from the scheduled time, and includes that."),
        ([0.5] * 8, "100 % of the requests left more than 10 ms late: all are 0.5 s late on average, "
         "0.5 s at most. Latency counts from the scheduled time, and includes that."),
    ],
)  # fmt: skip
def test_lateness_is_said(late_s: list[float], said: str) -> None:
    jobs = [UserJob(number, number, sent_s=number + late) for number, late in enumerate(late_s)]
    assert lateness([*jobs, UserJob(1000, 1000.0)]) == said


async def test_queue_is_seen_through_the_gateway(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, workers=0) as fleet, QueueSource(fleet.base + "/") as queue:
        await fleet.stream.open()
        await fleet.stream.push_many([NewJob(f"j{n}", b"[1]", defer_ms=60_000 if n > 4 else 0) for n in range(6)])
        await fleet.stream.claim("w", 2)
        assert await queue.look() == {"waiting": 4.0, "running": 2.0, "workers": 0.0}
        await fleet.stream.release_unknown("w", [])
        assert await queue.look() == {"waiting": 6.0, "running": 0.0, "workers": 0.0}
        valkey_away = {**fleet._environment, "REDIS_URL": "redis://127.0.0.1:1/0"}
        assert fleet.gateway is not None
        fleet.gateway.kill()
        assert await queue.look() == {}
        fleet._environment.update(valkey_away)
        await fleet.start_gateway()
        assert await queue.look() == {}


async def test_metrics_without_labels_are_read() -> None:
    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text='# HELP a b\na 1\nb{c="d"} 2\nc 3.5e2\nd NaN?\ne +Inf\nf -0.5\n')

    async with serving(web.get("/metrics", metrics)) as url, QueueSource(url) as source:
        assert await source.scrape() == {"a": 1.0, "c": 350.0, "e": float("inf"), "f": -0.5}
        assert await source.look() == {}


async def test_observer_looks_again_and_again() -> None:
    looks = 0
    enough = asyncio.Event()

    class CountingSource:
        async def look(self) -> dict[str, float]:
            nonlocal looks
            looks += 1
            if looks == 3:
                enough.set()
            return {"ready": 2.0, "seen": float(looks)} if looks % 2 else {}

    observer = LoadObserver([CountingSource()], RunClock(), every_s=0.01)
    task = asyncio.create_task(observer.run())
    async with asyncio.timeout(30):
        await enough.wait()
    task.cancel()
    await asyncio.wait([task])
    samples = observer.samples
    assert looks - 1 <= len(samples.t_s) <= looks  # one may be broken off by the end
    assert len(samples.t_s) >= 2
    assert samples.t_s == sorted(samples.t_s)
    assert samples.ready[:2] == [2, None]
    assert samples.wanted == [None] * len(samples.t_s)


def pod(phase: str = "Running", ready: bool | None = True, deleted: bool = False) -> dict[str, Any]:
    """One as the API server shows it; `ready` None: no condition says anything yet."""
    conditions = [] if ready is None else [{"type": "Ready", "status": str(ready)}]
    meta = {"name": "workers-1", "deletionTimestamp": "2026-01-01T00:00:00Z" if deleted else None}
    return {"metadata": meta, "status": {"phase": phase, "conditions": conditions}}


PODS = [
    pod(), pod(), pod("Pending", ready=None), pod(ready=False), pod(ready=False), pod(deleted=True),
    pod("Failed", ready=False), pod("Succeeded", ready=False, deleted=True),
]  # fmt: skip


def test_states_of_no_pods() -> None:
    assert states([]) == {"starting": 0.0, "ready": 0.0, "stopping": 0.0}
    unknown = SimpleNamespace(
        metadata=SimpleNamespace(deletion_timestamp=None), status=SimpleNamespace(phase="Pending", conditions=None)
    )
    assert states([unknown])["starting"] == 1.0


@contextlib.contextmanager
def kube_config(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A current context that is this API server."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "one", "cluster": {"server": url}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "users": [{"name": "one", "user": {"token": "t"}}],
    }
    (folder / "config").write_text(json.dumps(document))
    monkeypatch.setattr("kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "config"))
    yield


def api_server(deployed: Callable[[], web.Response]) -> tuple[web.RouteDef, web.RouteDef]:
    """The two documents that are looked at."""

    async def deployments(request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == WORKERS
        return deployed()

    async def pods(request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == WORKERS
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": PODS})

    return (
        web.get("/apis/apps/v1/namespaces/leadtime/deployments", deployments),
        web.get("/api/v1/namespaces/leadtime/pods", pods),
    )


async def test_pods_are_seen_through_the_api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, replicas = 200, [3, 4]

    def deployed() -> web.Response:
        template: dict[str, Any] = {"metadata": {}, "spec": {"containers": []}}
        spec = {"selector": {}, "template": template}
        items = [{"metadata": {}, "spec": {**spec, "replicas": each}} for each in replicas]
        return web.json_response({"kind": "DeploymentList", "apiVersion": "apps/v1", "items": items}, status=status)

    async with serving(*api_server(deployed)) as url:
        with kube_config(tmp_path, url, monkeypatch):
            async with cluster("leadtime") as seen:
                observer = LoadObserver([seen], RunClock())
                await observer.look()
                status = 500
                await observer.look()
            samples = observer.samples
            assert samples.wanted == [7, None]
            assert samples.starting == [3, None]
            assert samples.ready == [2, None]
            assert samples.stopping == [1, None]
            with pytest.raises(ObserverError, match="'leadtime' can't be observed: 500"):
                async with cluster("leadtime"):
                    pass
            with pytest.raises(ObserverError, match="'another' can't be observed: 404"):
                async with cluster("another"):
                    pass
            status, replicas = 200, []
            with pytest.raises(ObserverError, match="'leadtime' has no Deployment of workers"):
                async with cluster("leadtime"):
                    pass
    with kube_config(tmp_path, url, monkeypatch), pytest.raises(ObserverError, match="does not answer"):
        async with cluster("leadtime"):
            pass


async def test_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(ObserverError, match="no current context"):
        async with cluster("leadtime"):
            pass

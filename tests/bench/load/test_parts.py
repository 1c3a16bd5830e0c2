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
from hypothesis import given
from hypothesis import strategies as st

from bench.load.account import Account, Job
from bench.load.clock import Clock, offset_s
from bench.load.inputs import InputError, Inputs
from bench.load.lateness import lateness
from bench.load.observer import Gateway, Metrics, Observer, ObserverError, cluster, figures, observing, states
from tests.bench.services import service
from tests.serving import serving
from workers.stream import NewJob

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Server


@pytest.mark.parametrize(
    ("template", "timed", "body"),
    [
        (None, False, "job 7"),
        (None, True, {"job": 7, "service_s": 0.25}),
        ("hello", False, "hello"),
        ("hello {n}", False, "hello 7"),
        ('"hello {n}"', False, "hello 7"),
        ("{n}", False, 7),
        ('{"n": {n}, "kept": "{other}"}', False, {"n": 7, "kept": "{other}"}),
        ("[{n}, {service_s}]", True, [7, 0.25]),
        ('größe "{n}', False, 'größe "7'),
    ],
)
def test_inputs(template: str | None, timed: bool, body: Any) -> None:
    assert json.loads(Inputs(template, timed).body(7, 0.25)) == body


def test_input_without_service_seconds_is_null() -> None:
    assert json.loads(Inputs("{service_s}", timed=True).body(1, None)) is None


@pytest.mark.parametrize("template", ["", "  ", '""'])
def test_empty_input(template: str) -> None:
    with pytest.raises(InputError, match="empty"):
        Inputs(template, timed=False)


def job(sent_s: float, queued_s: float | None, accepted_s: float | None, scheduled_s: float = 0.0) -> Job:
    """One whose push is done."""
    return Job(1, scheduled_s, sent_s=sent_s, queued_s=queued_s, accepted_s=accepted_s)


@given(
    st.floats(-100, 100).filter(lambda offset: abs(offset) > 0.2),
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 0.05), st.floats(0, 0.05)), min_size=1),
)
def test_offset_of_the_clocks_lies_between_push_and_answer(
    offset: float, jobs: list[tuple[float, float, float]]
) -> None:
    found = offset_s(job(sent, sent + to + offset, sent + to + fro) for sent, to, fro in jobs)
    assert found == pytest.approx(offset, abs=0.052)


def test_no_offset_where_the_jobs_show_none() -> None:
    assert offset_s([job(1.0, 1.004, 1.01), job(2.0, 2.001, 2.01)]) == 0
    assert offset_s([job(1.0, None, 1.01), job(1.0, 2.0, None)]) == 0
    assert offset_s([]) == 0


def test_offset_of_a_clock_that_was_set_is_what_fits_most() -> None:
    jobs = [job(t, t + 5, t + 0.01) for t in range(5)] + [job(9.0, 9.0, 9.01)]
    assert offset_s(jobs) == pytest.approx(5, abs=0.02)


@pytest.mark.parametrize("text", [None, 3, "", "soon", "2026-13-01T00:00:00Z"])
def test_time_that_is_none(text: object) -> None:
    assert Clock().read(text) is None


def test_clock_reads_the_service_s_times() -> None:
    clock = Clock()
    began = datetime.datetime.fromisoformat(clock.started)
    later = (began + datetime.timedelta(seconds=90)).isoformat().replace("+00:00", "Z")
    assert clock.read(later) == pytest.approx(90, abs=0.002)


def at_rate(rate: float, late_s: list[float], latency_s: float) -> list[Job]:
    """Jobs one after the other, whose requests left so late; each took the service so long."""
    jobs = []
    for number, late in enumerate(late_s, start=1):
        one = Job(number, number / rate, sent_s=number / rate + late)
        one.outcome, one.ended_s = "finished", number / rate + late + latency_s
        jobs.append(one)
    return jobs


FEW_LATE = [*[0.001] * 199, 0.5]
TENTH_LATE = [*[0.001] * 9, 0.025] * 20
COULD_NOT = "The generator could not keep up: "
ITSELF = " What it measured is partly its own slowness."


@pytest.mark.parametrize(
    ("rate", "late_s", "latency_s", "said"),
    [
        (2, [0.001] * 100, 5, "Every request left within 10 ms of its time."),
        (100, FEW_LATE, 5, "0.5 % of the requests left more than 10 ms late, the latest by 0.5 s. "
         "Latency counts from the scheduled time, and holds this: 0.07 % of it."),
        # Late, but long before the next one, and nothing beside the latency.
        (4, TENTH_LATE, 5, "10 % of the requests left more than 10 ms late, the latest by 0.025 s. "
         "Latency counts from the scheduled time, and holds this: 0.068 % of it."),
        (4, [0.03] * 50, 5, "100 % of the requests left more than 10 ms late, the latest by 0.03 s. "
         "Latency counts from the scheduled time, and holds this: 0.6 % of it."),
        # The service is so fast that it counts.
        (4, TENTH_LATE, 0.02, "10 % of the requests left more than 10 ms late, the latest by 0.025 s. "
         "Latency counts from the scheduled time, and holds this: 15 % of it." + ITSELF),
        # The next one is due before this one has left.
        (100, TENTH_LATE, 5, COULD_NOT + "10 % of the requests left more than 10 ms late, the latest by 0.025 s. "
         "Latency counts from the scheduled time, and holds this: 0.068 % of it."),
        (1000, [n / 1000 for n in range(1000)], 0.1, COULD_NOT + "99 % of the requests left more than 10 ms late, "
         "the latest by 0.999 s. Latency counts from the scheduled time, and holds this: 83 % of it." + ITSELF),
    ],
)  # fmt: skip
def test_lateness_is_said(rate: float, late_s: list[float], latency_s: float, said: str) -> None:
    found = lateness(at_rate(rate, late_s, latency_s))
    assert found is not None
    assert found.sentence == said
    assert found.most_s == pytest.approx(max(late_s))


def test_those_of_the_same_time_are_not_behind_one_another() -> None:
    """A burst leaves one by one; it is behind where it is not over when the next one begins."""
    burst = [Job(n, 1.0, sent_s=1.0005 + n / 1000) for n in range(100)]
    alone, followed = lateness([*burst, Job(101, 2.0)]), lateness([*burst, Job(101, 1.05)])
    assert alone is not None
    assert followed is not None
    assert (alone.behind, alone.share) == (0, 0.9)
    assert 0.4 < followed.behind < 0.6
    assert alone.sentence.endswith("Latency counts from the scheduled time, and holds this.")


def test_no_lateness_where_nothing_left() -> None:
    assert lateness([Job(1, 0.0)]) is None


def test_percentiles_of_the_account() -> None:
    account = Account()
    assert account.percentiles_s(50, 99) == [None, None]
    for number in range(1, 101):
        one = Job(number, 0.0)
        account.open(one)
        account.end(one, "finished" if number % 2 else "failed", float(number))
    assert account.percentiles_s(50, 100) == [49.0, 99.0]


def test_figures_of_prometheus_text() -> None:
    text = '# HELP a b\na 1\nb{c="d"} 2\nc 3.5e2\nd NaN?\ne +Inf\n'
    assert figures(text) == {"a": 1.0, "c": 350.0, "e": float("inf")}


async def test_queue_is_seen_through_the_gateway(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, workers=0) as fleet, Gateway(fleet.base + "/") as gateway:
        await fleet.stream.open()
        await fleet.stream.push_many([NewJob(f"j{n}", b"[1]", defer_ms=60_000 if n > 4 else 0) for n in range(6)])
        await fleet.stream.claim("w", 2)
        assert await gateway.look() == {"waiting": 4.0, "running": 2.0, "workers": 0.0}
        await fleet.stream.release_unknown("w", [])
        assert await gateway.look() == {"waiting": 6.0, "running": 0.0, "workers": 0.0}
        valkey_away = {**fleet._environment, "REDIS_URL": "redis://127.0.0.1:1/0"}
        assert fleet.gateway is not None
        fleet.gateway.kill()
        assert await gateway.look() == {}
        fleet._environment.update(valkey_away)
        await fleet.start_gateway()
        assert await gateway.look() == {}


async def test_other_metrics_fill_columns() -> None:
    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text="leadtime_scaler_forecast 1.25\nother 3\n")

    names = {"leadtime_scaler_forecast": "forecast", "missing": "wanted"}
    async with (
        serving(web.get("/metrics", metrics)) as url,
        Metrics(f"{url}/metrics", names) as source,
        Metrics(f"{url}/nothing", names) as nothing,
    ):
        observer = Observer([source], Clock())
        await observer.look()
        assert await nothing.look() == {}
    assert observer.samples.forecast == [1.25]
    assert observer.samples.wanted == [None]


async def test_observer_looks_about_as_often_as_told_and_once_in_the_end() -> None:
    looks = 0
    enough = asyncio.Event()

    class Source:
        async def look(self) -> dict[str, float]:
            nonlocal looks
            looks += 1
            if looks == 3:
                enough.set()
            return {"ready": 2.0, "seen": float(looks)} if looks % 2 else {}

    observer = Observer([Source()], Clock(), every_s=0.01)
    async with observing(observer), asyncio.timeout(30):
        await enough.wait()
    samples = observer.samples
    assert looks - 1 <= len(samples.t_s) <= looks  # one may be broken off by the end
    assert len(samples.t_s) >= 3
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


def api_server(scale: Callable[[], web.Response]) -> tuple[web.RouteDef, web.RouteDef]:
    """The two documents that are looked at."""

    async def read_scale(_request: web.Request) -> web.Response:
        return scale()

    async def pods(request: web.Request) -> web.Response:
        wanted = "app.kubernetes.io/name=leadtime,app.kubernetes.io/component=worker"
        assert request.query["labelSelector"] == wanted
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": PODS})

    return (
        web.get("/apis/apps/v1/namespaces/leadtime/deployments/workers/scale", read_scale),
        web.get("/api/v1/namespaces/leadtime/pods", pods),
    )


async def test_pods_are_seen_through_the_api_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = 200

    def scale() -> web.Response:
        return web.json_response(
            {"kind": "Scale", "apiVersion": "autoscaling/v1", "spec": {"replicas": 7}}, status=status
        )

    async with serving(*api_server(scale)) as url:
        with kube_config(tmp_path, url, monkeypatch):
            async with cluster("leadtime") as seen:
                observer = Observer([seen], Clock())
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
    with kube_config(tmp_path, url, monkeypatch), pytest.raises(ObserverError, match="does not answer"):
        async with cluster("leadtime"):
            pass


async def test_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(ObserverError, match="no current context"):
        async with cluster("leadtime"):
            pass

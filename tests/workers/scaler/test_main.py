"""The whole scaler: `run` beside the test, and `python -m workers.scaler` as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import LoggedProcess, module
from tests.servers import free_port
from tests.workers.scaler.cluster.keda_client import REFERENCE, KedaClient
from tests.workers.scaler.fake_kubernetes import NAMESPACE, FakeApiServer
from tests.workers.scaler.tasks import PATIENCE_S, until
from tests.workers.stream.actions import accept, finish_all
from workers.scaler.__main__ import main, run
from workers.scaler.settings import ScalerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.stream import Stream, StreamSettings


def settings_of(stream: StreamSettings, api: FakeApiServer, **more: Any) -> ScalerSettings:
    return ScalerSettings(
        **{
            "redis_url": stream.redis_url,
            "queue_name": stream.queue_name,
            "kubernetes_url": api.url,
            "pod_namespace": NAMESPACE,
            "max_replicas": 3,
            "probe_port": free_port(),
            "scaler_port": free_port(),
            **more,
        }
    )


@contextlib.asynccontextmanager
async def running(settings: ScalerSettings) -> AsyncIterator[str]:
    """The URL of its probes."""
    stopping = asyncio.Event()
    task = asyncio.create_task(run(settings, stopping))
    yield f"http://127.0.0.1:{settings.probe_port}"
    stopping.set()
    async with asyncio.timeout(PATIENCE_S):
        assert await task == 0


async def ask(url: str) -> tuple[int, str]:
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


async def metrics(probes: str) -> dict[str, float]:
    _, text = await ask(f"{probes}/metrics")
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_direct_from_nothing_to_workers_and_back(
    one_stream: Stream, one_settings: StreamSettings, api: FakeApiServer
) -> None:
    """Where a start takes next to nothing, and late jobs cost little, idle workers go soon."""
    settings = settings_of(
        one_settings, api, scaler_mode="direct", service_guess_s=0.5, startup_guess_s=0.5, late_cost=0.1
    )
    async with running(settings) as probes:

        async def ready() -> bool:
            return (await ask(f"{probes}/readyz"))[0] == 200

        await until(ready)
        assert api.patches == []
        await accept(one_stream, 6)
        await until(lambda: api.replicas >= 1)

        async def counted() -> bool:
            for name in list(api.pods):
                api.make_ready(name)
            found = await metrics(probes)
            return found.get("leadtime_scaler_workersready") == api.replicas

        await until(counted)
        found = await metrics(probes)
        assert found["leadtime_scaler_leads"] == 1
        assert found["leadtime_scaler_holding"] == 0
        assert found["leadtime_scaler_outstanding_jobs"] == 6
        assert found["leadtime_scaler_replicas_wanted"] >= 1
        assert found["leadtime_scaler_startup_seconds0.5"] > 0
        assert found["leadtime_scaler_service_seconds_mean"] > 0
        assert found["leadtime_scaler_decision_timestamp_seconds"] > 1.7e9
        await finish_all(one_stream)

        async def gone() -> bool:
            return await counted() and api.replicas == 0

        await until(gone)
        status, text = await ask(f"{probes}/readyz")
        assert status == 200
        assert "replicas: " in text
        assert (await ask(f"{probes}/healthz"))[0] == 200
    # The next one needs not wait for the Lease to run out.
    assert api.leases["scaler"]["spec"]["holderIdentity"] == ""
    assert all(patch <= 3 for patch in api.patches)


async def test_somebody_elses_change_is_put_right(
    one_stream: Stream, one_settings: StreamSettings, api: FakeApiServer
) -> None:
    settings = settings_of(one_settings, api, scaler_mode="direct", min_replicas=2, max_replicas=2)
    async with running(settings):
        await until(lambda: api.replicas == 2)
        api.scale(3)
        await until(lambda: api.replicas == 2)


async def test_of_two_scalers_one_acts_and_the_other_takes_over(
    one_stream: Stream, one_settings: StreamSettings, api: FakeApiServer
) -> None:
    first = settings_of(one_settings, api, scaler_mode="direct", pod_name="first", min_replicas=1)
    second = settings_of(one_settings, api, scaler_mode="direct", pod_name="second", min_replicas=2)

    def holder() -> str:
        return str(api.leases.get("scaler", {}).get("spec", {}).get("holderIdentity", ""))

    async with contextlib.AsyncExitStack() as stack:
        leader = contextlib.AsyncExitStack()
        await leader.enter_async_context(running(first))
        await until(lambda: holder().startswith("first_"))
        await until(lambda: api.replicas == 1)
        probes = await stack.enter_async_context(running(second))

        async def follows() -> bool:
            # It has the leader's decision, within its own limits, and keeps to itself.
            found = await metrics(probes)
            return found.get("leadtime_scaler_replicas_wanted") == 2 and found["leadtime_scaler_leads"] == 0

        await until(follows)
        assert api.patches == [1]
        await leader.aclose()
        await until(lambda: holder().startswith("second_"))
        await until(lambda: api.replicas == 2)


async def test_keda_mode_asks_and_never_patches(
    one_stream: Stream, one_settings: StreamSettings, api: FakeApiServer
) -> None:
    settings = settings_of(one_settings, api)
    async with running(settings):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.scaler_port}") as channel:
            keda = KedaClient(channel)
            active = aiter(keda.stream_is_active(REFERENCE, wait_for_ready=True))
            async with asyncio.timeout(PATIENCE_S):
                assert not (await anext(active)).result
                await accept(one_stream, 2)
                assert (await anext(active)).result

            async def decided() -> bool:
                with contextlib.suppress(grpc.aio.AioRpcError):  # nothing has been decided yet
                    return await keda.metric() >= 1
                return False

            await until(decided)
        assert api.patches == []


async def test_a_scaler_that_starts_without_an_api_server_waits_for_it(
    one_stream: Stream, one_settings: StreamSettings, api: FakeApiServer
) -> None:
    api.down = "/"
    await accept(one_stream)
    async with running(settings_of(one_settings, api, scaler_mode="direct")) as probes:

        async def not_ready() -> bool:
            return (await ask(f"{probes}/readyz"))[0] == 503

        await until(not_ready)
        assert (await ask(f"{probes}/healthz"))[0] == 200
        api.down = ""
        await until(lambda: api.replicas >= 1)


@pytest.mark.parametrize("port", ["probe_port", "scaler_port"])
async def test_taken_port_is_a_bad_setting(
    one_settings: StreamSettings, api: FakeApiServer, port: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104 - as the scaler does
        number = taken.getsockname()[1]
        assert await run(settings_of(one_settings, api, **{port: number}), asyncio.Event()) == 2
    assert f"bad setting {port.upper()}={number}: can't listen there" in caplog.text


async def test_refused_patch_is_said_and_tried_again(
    one_stream: Stream, one_settings: StreamSettings, api: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    api.forbidden = "PATCH"
    async with running(settings_of(one_settings, api, scaler_mode="direct", min_replicas=1)):
        await until(lambda: "the Deployment workers can't be scaled (it may not)" in caplog.text)
        api.forbidden = ""
        await until(lambda: api.replicas == 1)
    assert caplog.text.count("can't be scaled") == 1


# as a process


def scaler_process(folder: Path, **environment: str) -> LoggedProcess:
    """`python -m workers.scaler` with settings by name."""
    return LoggedProcess(module("workers.scaler"), {**os.environ, **environment}, folder / "scaler.log")


async def test_models_of_a_file_one_of_which_has_no_deployment(
    one_stream: Stream, one_settings: StreamSettings, api: FakeApiServer, tmp_path: Path
) -> None:
    """It holds, which costs the other nothing."""
    path = tmp_path / "models.yaml"
    path.write_text(
        "budget: {pods: 3}\nmodels:\n"
        f"  - {{queue: {one_settings.queue_name}, deployment: workers, scaling: direct}}\n"
        "  - {queue: lost, deployment: nowhere, scaling: direct}\n",
        encoding="utf-8",
    )
    async with running(settings_of(one_settings, api, models_file=path)) as probes:
        await accept(one_stream, 60)
        await until(lambda: api.replicas == 3)

        async def told() -> bool:
            status, text = await ask(f"{probes}/readyz")
            return status == 200 and "; the budget (3 pods) gives 3 of 10" in text and "lost: nothing has" in text

        await until(told)
        name = f"leadtime_scaler_replicas_denied{one_settings.queue_name}"
        assert (await metrics(probes))[name] == 7


async def test_faulty_models_file_ends_the_scaler(
    one_settings: StreamSettings, api: FakeApiServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("models: [{queue: whisper}]", encoding="utf-8")
    assert await run(settings_of(one_settings, api, models_file=path), asyncio.Event()) == 2
    assert f"bad setting MODELS_FILE: {path}: models.0.deployment: Field required" in caplog.text


@pytest.mark.fault
async def test_process_scales_until_it_is_told_to_stop(
    one_stream: Stream, one_settings: StreamSettings, api: FakeApiServer, tmp_path: Path
) -> None:
    process = scaler_process(
        tmp_path,
        REDIS_URL=one_settings.redis_url,
        QUEUE_NAME=one_settings.queue_name,
        KUBERNETES_URL=api.url,
        POD_NAMESPACE=NAMESPACE,
        POD_NAME="scaler-1",
        SCALER_MODE="direct",
    )
    try:
        await accept(one_stream)
        await until(lambda: api.replicas >= 1)
        assert await process.stopped() == 0
    finally:
        process.kill()
        await process.code()
    assert "INFO workers.scaler.reporting.decision_log: " in process.text
    assert " replicas: " in process.text
    assert "stopped" in process.text
    assert "Traceback" not in process.text
    assert api.leases["scaler"]["spec"]["holderIdentity"] == ""
    assert await one_stream.remembered()


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"MAX_REPLICAS": "0"}, "bad setting MAX_REPLICAS='0': "),
        ({"MIN_REPLICAS": "5", "MAX_REPLICAS": "4"}, "bad settings: MIN_REPLICAS=5 is more than MAX_REPLICAS=4"),
        ({"SCALER_MODE": "guess"}, "bad setting SCALER_MODE='guess': "),
        ({"OBJECTIVE_S": "nan"}, "bad setting OBJECTIVE_S='nan': "),
        ({"TLS_CERT_FILE": "cert.pem"}, "bad settings: TLS_CERT_FILE and TLS_KEY_FILE go together"),
        ({"KUBERNETES_URL": "nowhere"}, "bad setting KUBERNETES_URL='nowhere': "),
    ],
)
def test_bad_settings_end_the_process_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], environment: dict[str, str], says: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as end:
        main()

    assert end.value.code == 2
    said = capfd.readouterr().err
    assert said.startswith(says)
    assert said.count("\n") == 1


@pytest.mark.fault
async def test_a_wrong_password_ends_the_process(
    one_settings: StreamSettings, api: FakeApiServer, tmp_path: Path
) -> None:
    process = scaler_process(
        tmp_path,
        REDIS_URL=one_settings.redis_url.replace("//", "//nobody:hunter2@"),
        KUBERNETES_URL=api.url,
        POD_NAMESPACE=NAMESPACE,
        SCALER_MODE="direct",
    )
    assert await process.code() == 2
    assert "bad setting REDIS_URL: the server refuses its user or password: " in process.text.splitlines()[-1]
    assert "hunter2" not in process.text


@pytest.mark.fault
async def test_a_scaler_outside_of_a_cluster_fails_with_a_reason(tmp_path: Path) -> None:
    process = scaler_process(tmp_path)
    assert await process.code() == 1
    assert "this is no pod of a cluster, or it has no token" in process.text
    assert "Traceback" not in process.text

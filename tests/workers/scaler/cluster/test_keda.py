"""KEDA's protocol, spoken by a real gRPC client to a scaler on a real stream."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import trustme

from tests.workers.scaler.cluster.keda_client import REFERENCE, KedaClient
from tests.workers.scaler.doubles import FixedWorkers
from tests.workers.scaler.tasks import PATIENCE_S, beside, until
from tests.workers.stream.actions import accept, finish_all
from workers.scaler.cluster import externalscaler_pb2 as pb
from workers.scaler.cluster.hpa import metric_for
from workers.scaler.cluster.keda import METRIC, CannotListen, KedaScaler
from workers.scaler.loop import Scaler
from workers.scaler.policy import Options
from workers.scaler.surroundings import ReplicasSeen, SoleLeader
from workers.stream import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.stream import Stream

FOLDER = Path(__file__).resolve().parents[4] / "workers/scaler/cluster"
OPTIONS = Options(max_replicas=4)


@contextlib.asynccontextmanager
async def serving(scaler: Scaler, *tls: Path) -> AsyncIterator[int]:
    """The port of a scaler that runs."""
    keda_scaler = KedaScaler(scaler.status)
    port = await keda_scaler.open(0, *tls)
    try:
        async with beside(scaler.run(), keda_scaler.run()):
            yield port
    finally:
        await keda_scaler.close()


@contextlib.asynccontextmanager
async def asking(scaler: Scaler) -> AsyncIterator[KedaClient]:
    async with serving(scaler) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield KedaClient(channel)


async def test_from_nothing_to_workers_and_back(one_stream: Stream) -> None:
    workers = FixedWorkers()
    async with asking(Scaler(one_stream, OPTIONS, workers, SoleLeader())) as keda:
        (spec,) = (await keda.get_metric_spec(REFERENCE, timeout=PATIENCE_S)).metricSpecs
        assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == (METRIC, 1, 1.0)
        pushed = aiter(keda.stream_is_active(REFERENCE))
        assert not (await anext(pushed)).result
        await until(lambda: keda_is_ready(keda))
        assert not (await keda.is_active(REFERENCE, timeout=PATIENCE_S)).result
        assert await keda.metric() == 0
        await accept(one_stream, 3)
        assert (await anext(pushed)).result
        assert (await keda.is_active(REFERENCE, timeout=PATIENCE_S)).result
        assert await keda.metric() >= 1
        workers.replicas = ReplicasSeen(3, 3)
        await finish_all(one_stream)
        assert await keda.status("") == "SERVING"


async def keda_is_ready(keda: KedaClient) -> bool:
    return await keda.status() == "SERVING"


async def test_metric_is_what_the_hpa_needs(one_stream: Stream) -> None:
    workers = FixedWorkers()
    workers.replicas = ReplicasSeen(20, 20)
    scaler = Scaler(one_stream, Options(min_replicas=19, max_replicas=19), workers, SoleLeader())
    async with asking(scaler) as keda:
        await until(lambda: keda_is_ready(keda))
        await until(lambda: scaler.status.replicas is not None)
        assert await keda.metric() == pytest.approx(metric_for(19, 20)) == pytest.approx(18.01)


async def test_nothing_is_told_before_anything_is_known(one_stream: Stream) -> None:
    """KEDA takes an error for an error, and its fallback for an answer; a number would be a decision."""
    workers = FixedWorkers()
    workers.replicas = None
    async with asking(Scaler(one_stream, OPTIONS, workers, SoleLeader())) as keda:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await keda.metric()
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        assert raised.value.details() == "nothing has been decided yet"
        assert await keda.status() == "NOT_SERVING"
        # The metric is known all the same, so that KEDA can make its HPA.
        assert (await keda.get_metric_spec(REFERENCE, timeout=PATIENCE_S)).metricSpecs


async def test_other_metrics_are_not_found(one_stream: Stream) -> None:
    async with asking(Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())) as keda:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await keda.get_metrics(pb.GetMetricsRequest(scaledObjectRef=REFERENCE, metricName="lag"))
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND


async def test_large_requests_are_refused(one_stream: Stream) -> None:
    async with asking(Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())) as keda:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await keda.is_active(pb.ScaledObjectRef(name="x" * 100_000))
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_streams_end_in_order_when_the_scaler_stops(one_stream: Stream) -> None:
    """KEDA comes back 2 s after an end without an error, and later and later after each with one."""
    scaler = Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())
    keda_scaler = KedaScaler(scaler.status)
    port = await keda_scaler.open(0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        keda = KedaClient(channel)
        specs, active = aiter(keda.stream_metric_spec(REFERENCE)), aiter(keda.stream_is_active(REFERENCE))
        async with beside(scaler.run(), keda_scaler.run()) as tasks, asyncio.timeout(PATIENCE_S):
            assert (await anext(specs)).metricSpecs[0].metricName == METRIC
            await anext(active)
            await end(*tasks)
            closing = asyncio.create_task(keda_scaler.close())
            for stream in (specs, active):
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)
            await closing


async def test_many_callers_are_told_at_once(one_stream: Stream) -> None:
    async with asking(Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())) as keda:
        streams = [aiter(keda.stream_is_active(REFERENCE)) for _ in range(20)]
        async with asyncio.timeout(PATIENCE_S):
            assert not any(answer.result for answer in await asyncio.gather(*map(anext, streams)))
            await accept(one_stream)
            assert all(answer.result for answer in await asyncio.gather(*map(anext, streams)))


async def test_two_kedas_may_keep_their_streams_of_many_models(one_stream: Stream) -> None:
    scaler = Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())
    queues = [f"queue-{n}" for n in range(100)]
    keda_scaler = KedaScaler(dict.fromkeys(queues, scaler.status))
    port = await keda_scaler.open(0)
    async with beside(scaler.run()), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        keda = KedaClient(channel)
        references = [pb.ScaledObjectRef(scalerMetadata={"queue": queue}) for queue in queues]
        streams = [
            aiter(kind(one)) for one in references for kind in (keda.stream_is_active, keda.stream_metric_spec) * 2
        ]
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*map(anext, streams))

        answer = await keda.get_metric_spec(references[-1], timeout=PATIENCE_S)

        assert answer.metricSpecs[0].metricName == METRIC
        await keda_scaler.close()


async def test_with_tls_only_clients_of_the_authority_may_ask(one_stream: Stream, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    files = {}
    issued = authority.issue_cert("localhost")
    for name, blob in (
        ("cert", issued.cert_chain_pems[0]),
        ("key", issued.private_key_pem),
        ("ca", authority.cert_pem),
    ):
        files[name] = tmp_path / f"{name}.pem"
        blob.write_to_path(files[name])

    def credentials(ca: trustme.CA | None) -> grpc.ChannelCredentials:
        client = ca.issue_cert("keda") if ca else None
        return grpc.ssl_channel_credentials(
            authority.cert_pem.bytes(),
            client.private_key_pem.bytes() if client else None,
            client.cert_chain_pems[0].bytes() if client else None,
        )

    async def ask(port: int, ca: trustme.CA | None) -> bool:
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials(ca)) as channel:
            try:
                await KedaClient(channel).get_metric_spec(REFERENCE, timeout=PATIENCE_S)
            except grpc.aio.AioRpcError as error:
                return bool(error.code() != grpc.StatusCode.UNAVAILABLE)
            return True

    scaler = Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())
    async with serving(scaler, files["cert"], files["key"]) as port:
        assert await ask(port, None)
        async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await KedaClient(channel).get_metric_spec(REFERENCE, timeout=PATIENCE_S)
    async with serving(scaler, files["cert"], files["key"], files["ca"]) as port:
        assert await ask(port, authority)
        assert not await ask(port, other)
        assert not await ask(port, None)


async def test_a_taken_port_is_an_error(one_stream: Stream) -> None:
    scaler = Scaler(one_stream, OPTIONS, FixedWorkers(), SoleLeader())
    async with serving(scaler) as port:
        other = KedaScaler(scaler.status)
        with pytest.raises(CannotListen, match=f"bad setting SCALER_PORT={port}: can't listen there"):
            await other.open(port)
        await other.close()


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    """`just proto` makes it."""
    source = FOLDER / "externalscaler.proto"
    arguments = [f"-I{FOLDER}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", str(source)]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == ["externalscaler_pb2.py", "externalscaler_pb2.pyi"]
    for name in made:
        assert (FOLDER / name).read_text(encoding="utf-8") == (tmp_path / name).read_text(encoding="utf-8")

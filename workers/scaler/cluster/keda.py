"""Answers KEDA, as an external scaler (gRPC): the decision is a metric whose target is 1 for each replica.

What KEDA 2.21 calls (its pkg/scalers/external_scaler.go and pkg/scaling/scale_handler.go):

- `GetMetrics` and then `IsActive`, with each of its own polls and each tick of the HPA;
- `StreamIsActive`, which stays open. If it says that there is work, KEDA starts the first worker at once; everything
  else that it says waits for the next poll;
- each with the metadata of the ScaledObject's trigger: where there are several models, `queue` in it says which one;
- `StreamMetricSpec`, by which KEDA still knows the metric when this scaler is gone. Without it `fallback` has no metric
  to stand in for (KEDA issues 5525 and 8056).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from workers.scaler.cluster import externalscaler_pb2 as pb
from workers.scaler.cluster.hpa import metric_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workers.scaler.reporting.status import ScalerStatus

logger = logging.getLogger(__name__)

SERVICE = "externalscaler.ExternalScaler"
METRIC = "leadtime-replicas"
TARGET = 1
_HOST = "[::]"
# KEDA's requests are a few hundred bytes, and it has a handful of them open. For each model it keeps two streams, and a
# KEDA that takes the place of another two more.
_MAX_MESSAGE_BYTES = 65_536
_MAX_CALLS = 200
_MAX_STREAMS_OF_A_MODEL = 4
_OPTIONS = [
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", _MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # otherwise a second process would share the port without an error
    ("grpc.keepalive_time_ms", 60_000),
]
_STOP_S = 2.0
_MOST_NAMED = 20

Context: TypeAlias = "grpc.aio.ServicerContext[object, object]"


class CannotListen(RuntimeError):  # noqa: N818
    """The port can't be listened on. The message is one sentence on why."""


class KedaScaler:
    """KEDA's external scaler: answers with what is in the status of the model's scaler that KEDA asks for."""

    def __init__(self, statuses: ScalerStatus | Mapping[str, ScalerStatus]) -> None:
        """Takes the statuses by queue, or that of the one model that there is."""
        self._statuses = statuses if isinstance(statuses, Mapping) else {"": statuses}
        self._last = list(self._statuses.values())[-1]  # of a round to be told
        self._closing = False
        self._health: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]
        calls = _MAX_CALLS + _MAX_STREAMS_OF_A_MODEL * len(self._statuses)
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=calls)
        self._server.add_generic_rpc_handlers((self._handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def _handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        reference, request = pb.ScaledObjectRef.FromString, pb.GetMetricsRequest.FromString
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "IsActive": grpc.unary_unary_rpc_method_handler(
                    self.is_active, reference, pb.IsActiveResponse.SerializeToString
                ),
                "StreamIsActive": grpc.unary_stream_rpc_method_handler(
                    self.stream_is_active, reference, pb.IsActiveResponse.SerializeToString
                ),
                "GetMetricSpec": grpc.unary_unary_rpc_method_handler(
                    self.get_metric_spec, reference, pb.GetMetricSpecResponse.SerializeToString
                ),
                "GetMetrics": grpc.unary_unary_rpc_method_handler(
                    self.get_metrics, request, pb.GetMetricsResponse.SerializeToString
                ),
                "StreamMetricSpec": grpc.unary_stream_rpc_method_handler(
                    self.stream_metric_spec, reference, pb.GetMetricSpecResponse.SerializeToString
                ),
            },
        )

    # the protocol

    async def is_active(self, request: pb.ScaledObjectRef, context: Context) -> pb.IsActiveResponse:
        """Whether there is to be a worker. UNAVAILABLE while nothing is known."""
        status = await self._status_of(request, context)
        if status.told is None and (status.outstanding is None or status.shares_budget):
            await self._abort_undecided(context)
        return pb.IsActiveResponse(result=_is_active(status))

    async def stream_is_active(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """The same, at once and whenever it changes. Ends without an error when the scaler stops: KEDA calls again."""
        status, told = await self._status_of(request, context), None
        while not self._closing:
            if (active := _is_active(status)) is not told:
                yield pb.IsActiveResponse(result=active)
                told = active
            await self._next_round(status)

    async def get_metric_spec(self, request: pb.ScaledObjectRef, context: Context) -> pb.GetMetricSpecResponse:
        """The one metric. It never changes."""
        await self._status_of(request, context)
        spec = pb.MetricSpec(metricName=METRIC, targetSize=TARGET, targetSizeFloat=float(TARGET))
        return pb.GetMetricSpecResponse(metricSpecs=[spec])

    async def stream_metric_spec(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.GetMetricSpecResponse]:
        """The same, once, as it never changes."""
        yield await self.get_metric_spec(request, context)
        status = await self._status_of(request, context)
        while not self._closing:
            await self._next_round(status)

    async def get_metrics(self, request: pb.GetMetricsRequest, context: Context) -> pb.GetMetricsResponse:
        """The metric's value. UNAVAILABLE while nothing has been decided, NOT_FOUND for another metric."""
        if request.metricName != METRIC:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no such metric; there is {METRIC}")
        status = await self._status_of(request.scaledObjectRef, context)
        wanted = status.told
        if wanted is None:
            await self._abort_undecided(context)
            raise AssertionError
        current = wanted if status.replicas is None else status.replicas.total
        value = pb.MetricValue(metricName=METRIC, metricValue=wanted, metricValueFloat=metric_for(wanted, current))
        return pb.GetMetricsResponse(metricValues=[value])

    async def _abort_undecided(self, context: Context) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "nothing has been decided yet")

    async def _status_of(self, reference: pb.ScaledObjectRef, context: Context) -> ScalerStatus:
        """The model's, by `queue` in the trigger's metadata. INVALID_ARGUMENT if it names none of these."""
        queue = reference.scalerMetadata.get("queue", "")
        if len(self._statuses) == 1 and ("" in self._statuses or queue in ("", *self._statuses)):
            return self._last
        if queue not in self._statuses:
            what = f"no model has the queue {queue[:100]!r}" if queue else "the trigger's metadata names no queue"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{what}: this scaler scales {self._names()} by KEDA")
        return self._statuses[queue]

    def _names(self) -> str:
        return ", ".join(list(self._statuses)[:_MOST_NAMED])

    async def _next_round(self, status: ScalerStatus) -> None:
        async with status.changed:
            if not self._closing:
                await status.changed.wait()

    # the server

    async def open(
        self, port: int, cert_file: Path | None = None, key_file: Path | None = None, client_ca_file: Path | None = None
    ) -> int:
        """Listens, with TLS if there is a certificate. Returns the port: a free one for 0. Raises CannotListen."""
        address = f"{_HOST}:{port}"
        try:
            if cert_file and key_file:
                bound = self._server.add_secure_port(address, _credentials(cert_file, key_file, client_ca_file))
            else:
                bound = self._server.add_insecure_port(address)
        except (RuntimeError, OSError) as error:
            raise CannotListen(f"bad setting SCALER_PORT={port}: can't listen there") from error
        if not bound:
            raise CannotListen(f"bad setting SCALER_PORT={port}: can't listen there")
        await self._tell_health()
        await self._server.start()
        return int(bound)

    async def run(self) -> NoReturn:
        """Keeps the health service up to date; never returns."""
        while True:
            await self._next_round(self._last)
            await self._tell_health()

    async def close(self) -> None:
        """Ends open streams without errors, and serves no more."""
        self._closing = True
        await self._health.enter_graceful_shutdown()
        for status in self._statuses.values():
            async with status.changed:
                status.changed.notify_all()
        await self._server.stop(_STOP_S)

    async def _tell_health(self) -> None:
        statuses = health_pb2.HealthCheckResponse
        decided = any(status.decision is not None for status in self._statuses.values())
        status = statuses.SERVING if decided else statuses.NOT_SERVING
        for service in ("", SERVICE):
            await self._health.set(service, status)


def _is_active(status: ScalerStatus) -> bool:
    return bool(status.told) or status.woken


def _credentials(cert_file: Path, key_file: Path, client_ca_file: Path | None) -> grpc.ServerCredentials:
    """Returns credentials that are read again for each handshake: certificates are renewed while this runs."""

    def read() -> grpc.ServerCertificateConfiguration:
        authorities = client_ca_file.read_bytes() if client_ca_file else None
        pairs = [(key_file.read_bytes(), cert_file.read_bytes())]
        return grpc.ssl_server_certificate_configuration(pairs, authorities)

    def read_again() -> grpc.ServerCertificateConfiguration | None:
        try:
            return read()
        except OSError as error:
            logger.warning("the certificate can't be read again (%s): going on with the old one", error)
            return None

    again: Any = read_again  # None leaves the certificate as it is
    return grpc.dynamic_ssl_server_credentials(read(), again, client_ca_file is not None)

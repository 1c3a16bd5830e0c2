"""KEDA's side of its external scaler protocol: a gRPC client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.workers.scaler.tasks import PATIENCE_S
from workers.scaler.cluster import externalscaler_pb2 as pb
from workers.scaler.cluster.keda import METRIC, SERVICE

if TYPE_CHECKING:
    import grpc

REFERENCE = pb.ScaledObjectRef(
    name="workers", namespace="leadtime", scalerMetadata={"scalerAddress": "scaler.leadtime.svc:9000"}
)


class KedaClient:
    """Calls what KEDA calls."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        def method(kind: str, name: str, request: Any, response: Any) -> Any:
            factory = getattr(channel, kind)
            return factory(
                f"/{SERVICE}/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )

        self.is_active = method("unary_unary", "IsActive", pb.ScaledObjectRef, pb.IsActiveResponse)
        self.stream_is_active = method("unary_stream", "StreamIsActive", pb.ScaledObjectRef, pb.IsActiveResponse)
        self.get_metric_spec = method("unary_unary", "GetMetricSpec", pb.ScaledObjectRef, pb.GetMetricSpecResponse)
        self.stream_metric_spec = method(
            "unary_stream", "StreamMetricSpec", pb.ScaledObjectRef, pb.GetMetricSpecResponse
        )
        self.get_metrics = method("unary_unary", "GetMetrics", pb.GetMetricsRequest, pb.GetMetricsResponse)
        self.health = health_pb2_grpc.HealthStub(channel)

    async def metric(self) -> float:
        """The value that KEDA makes of the answer."""
        request = pb.GetMetricsRequest(scaledObjectRef=REFERENCE, metricName=METRIC)
        (value,) = (await self.get_metrics(request, timeout=PATIENCE_S)).metricValues
        assert value.metricName == METRIC
        return float(value.metricValueFloat if value.metricValueFloat > 0 else value.metricValue)

    async def status(self, service: str = SERVICE) -> str:
        answer = await self.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

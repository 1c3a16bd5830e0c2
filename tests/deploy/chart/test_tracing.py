"""The chart's way to a collector of traces."""

from __future__ import annotations

import json

import pytest

from tests.deploy.chart.rendered import container_of, rendering, validate


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://collector.observability:4318", 4318),
        ("https://traces.example.com/otlp", 443),
        ("http://collector", 80),
        ("http://10.0.0.5", 80),
        ("https://tempo2/otlp", 443),
    ],
)
def test_gateway_and_workers_reach_the_collector_with_its_token(endpoint: str, port: int) -> None:
    rendered = rendering(tracing={"endpoint": endpoint, "existingSecret": "collector-token"})

    for workload in (rendered["Deployment", "leadtime-gateway"], *rendered.models):
        assert rendered.config(workload)["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
        assert {"secretRef": {"name": "collector-token"}} in container_of(workload)["envFrom"]
    scaler = rendered["Deployment", "leadtime-scaler"]
    assert {"secretRef": {"name": "collector-token"}} not in container_of(scaler)["envFrom"]
    policy = rendered["NetworkPolicy", "leadtime-to-collector"]
    validate(json.dumps(policy))
    assert policy["spec"]["egress"] == [{"ports": [{"protocol": "TCP", "port": port}]}]


def test_without_an_endpoint_nothing_is_traced() -> None:
    rendered = rendering()

    assert not rendered.has("NetworkPolicy", "leadtime-to-collector")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in rendered["ConfigMap", "leadtime-settings"]["data"]

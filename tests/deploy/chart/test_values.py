"""Odd values, as a stranger may write them: rendered as they are meant, or refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from deploy.kubernetes.tools import DeployError
from tests.deploy.chart.rendered import container_of, rendering, validate
from workers.scaler.settings import ScalerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator


def texts_of(node: Any, name: str) -> Iterator[Any]:
    """Every value of a map that a manifest has by this name, at any depth."""
    if isinstance(node, dict):
        if isinstance(found := node.get(name), dict):
            yield from found.values()
        for below in node.values():
            yield from texts_of(below, name)
    elif isinstance(node, list):
        for below in node:
            yield from texts_of(below, name)


def test_names_that_yaml_takes_for_something_else_stay_names() -> None:
    secret = {"existingSecret": "1"}
    model = {
        "name": "no",  # Norwegian
        "queue": "jobs:",
        "scaling": "streams",
        "cache": {"claim": "2", "path": "/with: colon"},
        "weights": {"claim": "3"},
        "priorityClassName": "4",
        "runtimeClassName": "off",
        "prePull": True,
    }
    found = rendering(
        release="on",
        namespace="2024",
        models=[model],
        image={"pullSecrets": ["5"]},
        gateway={
            "apiKeys": secret,
            "apiKeysFile": {**secret, "key": "6"},
            "webhookSecrets": {**secret, "key": "7"},
            "metricsPort": 8003,
            "hosts": ["*.example.com", "1.2"],
            "tls": {"enabled": True, "issuer": "8", "secret": "9"},
            "ingress": {"enabled": True, "className": "yes"},
        },
        valkey={"storage": {"className": "1e3"}},
        redis={**secret, "urlKey": "10", "passwordKey": "11", "usernameKey": "12", "filesSecret": "13"},
        objectStore=secret,
        tracing=secret,
        networkPolicy={"kedaNamespace": "14", "monitoringNamespace": "null", "dnsNamespace": "true"},
        monitoring={"monitors": {"enabled": True}, "rules": {"enabled": True}},
    )

    for manifest in found.all:
        if manifest["apiVersion"].partition("/")[0] not in ("keda.sh", "monitoring.coreos.com"):
            validate(json.dumps(manifest))
        assert manifest["metadata"].get("namespace", "2024") == "2024"
        assert manifest["metadata"]["name"].startswith(("on", "2024.on"))
        for name in ("labels", "matchLabels", "annotations"):
            assert {type(value) for value in texts_of(manifest, name)} <= {str}
    (rule,) = found.of_kind("PrometheusRule")[0]["spec"]["groups"]
    assert rule["rules"][0]["annotations"]["summary"].startswith("The oldest waiting job of jobs: has waited")
    (ingress,) = found.of_kind("Ingress")
    assert [one["host"] for one in ingress["spec"]["rules"]] == ["*.example.com", "1.2"]
    (authentication,) = found.of_kind("TriggerAuthentication")
    assert {one["key"] for one in authentication["spec"]["secretTargetRef"]} == {"11", "12"}


def test_a_worker_may_have_more_places_than_either_of_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rendering(models=[{"name": "toy", "concurrency": 8, "maxBatchSize": 256}])

    for variable, value in found.config(found["Deployment", "leadtime-scaler"]).items():
        monkeypatch.setenv(variable, value)

    assert ScalerSettings().policy_options.concurrency == 8 * 256


def test_a_setting_that_a_pod_has_already_is_replaced() -> None:
    found = rendering(
        logLevel="INFO",
        settings={"LOG_LEVEL": "DEBUG"},
        models=[
            {
                "name": "toy",
                "model": "a:A",
                "env": {"MODEL": "b:B", "HF_HOME": "/cache/hub"},
                "podAnnotations": {"prometheus.io/scrape": "false"},
            }
        ],
    )

    (model,) = found.models
    names = [entry["name"] for entry in container_of(model)["env"]]
    assert len(set(names)) == len(names)
    config = found.config(model)
    assert (config["MODEL"], config["HF_HOME"], config["XDG_CACHE_HOME"]) == ("b:B", "/cache/hub", "/cache")
    assert config["LOG_LEVEL"] == "DEBUG"
    annotations = model["spec"]["template"]["metadata"]["annotations"]
    assert (annotations["prometheus.io/scrape"], annotations["prometheus.io/port"]) == ("false", "8003")


@pytest.mark.parametrize(
    ("gateway", "is_kept"),
    [
        ({"replicas": 2}, True),
        ({"replicas": 1}, False),
        ({"replicas": 1, "autoscaling": {"enabled": True, "minReplicas": 2}}, True),
        ({"replicas": 2, "autoscaling": {"enabled": True, "minReplicas": 1}}, False),
    ],
)
def test_a_gateway_alone_does_not_keep_its_node_from_being_drained(gateway: dict[str, Any], is_kept: bool) -> None:
    assert rendering(gateway=gateway).has("PodDisruptionBudget", "leadtime-gateway") is is_kept


def test_without_ports_outside_no_policy_lets_all_of_them_through() -> None:
    found = rendering(
        networkPolicy={"outsidePorts": []},
        gateway={"webhookSecrets": {"existingSecret": "s"}},
        objectStore={"url": "s3://bucket"},
    )

    for policy in found.of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("egress") or []:
            assert rule["ports"], policy["metadata"]["name"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"settings": {"CONCURRENCY": 4}}, "settings has CONCURRENCY, which is said by a model's concurrency"),
        ({"settings": {"REDIS_URL": "redis://r"}}, "settings has REDIS_URL, which is said by redis.existingSecret"),
        ({"models": [{"name": "a", "env": {"GRACE_S": 9}}]}, "the model a has GRACE_S, which is said by a model's ter"),
        ({"gateway": {"env": {"PORT": 80}}}, "gateway.env has PORT, which is said by the chart"),
        ({"scaler": {"env": {"LATE_COST": 9}}}, "scaler.env has LATE_COST, which is said by a model's lateCost"),
        ({"redis": {"urlKey": "REDIS_URL"}}, "keys of redis.existingSecret, which is not set"),
        ({"budget": {"pods": 3}, "modelDefaults": {"scaling": "streams"}}, "the scaler decides for no model"),
        (
            {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 11}}},
            "gateway.autoscaling has minReplicas above maxReplicas",
        ),
        ({"models": [{"name": "a", "maxSurge": "0"}]}, "maxSurge"),
        ({"models": [{"name": "a", "loadTimeoutSeconds": 10**10}]}, "loadTimeoutSeconds"),
        ({"gateway": {"hosts": ["https://example.com"]}}, "hosts"),
        ({"gateway": {"replicas": 1_000_000}}, "replicas"),
        ({"valkey": {"maxMemory": "0mb"}}, "maxMemory"),
        ({"networkPolicy": {"apiServerPorts": []}}, "apiServerPorts"),
        ({"redis": {"ports": []}}, "ports"),
    ],
)
def test_what_no_cluster_takes_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(DeployError, match=re.escape(said)):
        rendering(**values)

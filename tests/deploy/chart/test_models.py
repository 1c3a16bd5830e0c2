"""Several models, several releases: each has what is its own, and what can't work is refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from deploy.kubernetes.tools import DeployError
from tests.deploy.chart.rendered import Rendered, container_of, pod_of, rendered, rendering, validate
from workers.scaler.models.models_file import read_models
from workers.scaler.settings import ScalerSettings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.chart.rendered import Manifest

THREE = [
    {"name": "slow", "queue": "Slow.Jobs", "maxReplicas": 4, "objectiveSeconds": 20},
    {"name": "quick", "scaling": "direct", "maxBatchSize": 8, "resources": {"limits": {"nvidia.com/gpu": 1}}},
    {"name": "counted", "scaling": "streams", "streams": {"cooldownSeconds": 7}},
]


@pytest.fixture(scope="module")
def three() -> Rendered:
    return rendering(models=THREE, budget={"pods": 6, "nvidia.com/gpu": 2})


def scaled(of: Rendered, name: str) -> Manifest:
    spec: Manifest = of["ScaledObject", f"leadtime-{name}"]["spec"]
    return spec


def test_each_model_has_a_deployment_a_queue_and_its_own_scaling(three: Rendered) -> None:
    queues = {one["metadata"]["name"]: three.config(one)["QUEUE_NAME"] for one in three.models}
    assert queues == {"leadtime-slow": "Slow.Jobs", "leadtime-quick": "quick", "leadtime-counted": "counted"}
    selectors = [tuple(sorted(one["spec"]["selector"]["matchLabels"].items())) for one in three.models]
    assert len(set(selectors)) == 3
    gateway = three.config(three["Deployment", "leadtime-gateway"])
    assert (gateway["QUEUES"], gateway["QUEUE_NAME"]) == ("Slow.Jobs,quick,counted", "Slow.Jobs")
    assert {one["metadata"]["name"] for one in three.of_kind("ScaledObject")} == {"leadtime-slow", "leadtime-counted"}
    for name in ("slow", "counted"):
        assert scaled(three, name)["scaleTargetRef"] == {"name": f"leadtime-{name}"}


def test_keda_reads_the_stream_of_a_model_by_its_own_name(three: Rendered) -> None:
    spec = scaled(three, "counted")
    assert (spec["minReplicaCount"], spec["cooldownPeriod"]) == (0, 7)
    assert spec["advanced"]["scalingModifiers"]["formula"] == "lag + pending"
    by_name = {trigger["name"]: trigger for trigger in spec["triggers"]}
    assert by_name.keys() == {"lag", "pending"}
    assert "lagCount" in by_name["lag"]["metadata"]
    assert "lagCount" not in by_name["pending"]["metadata"]
    assert spec["fallback"]["replicas"] > 0
    (authentication,) = three.of_kind("TriggerAuthentication")
    for trigger in spec["triggers"]:
        assert trigger["metadata"]["stream"] == "{counted}:stream"
        assert trigger["metadata"]["consumerGroup"] == "workers"
        assert trigger["metadata"]["address"] == "leadtime-valkey.leadtime.svc:6379"
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    (asked,) = scaled(three, "slow")["triggers"]
    assert asked["metadata"] == {"scalerAddress": "leadtime-scaler.leadtime.svc:9000", "queue": "Slow.Jobs"}


def test_one_scaler_has_the_models_in_a_file(three: Rendered) -> None:
    scaler = three["Deployment", "leadtime-scaler"]
    assert three.config(scaler)["MODELS_FILE"] == "/etc/leadtime/models.yaml"
    assert "DEPLOYMENT" not in three.config(scaler)
    (mount,) = container_of(scaler)["volumeMounts"]
    assert mount["mountPath"] == "/etc/leadtime/models.yaml"
    text = three["ConfigMap", "leadtime-models"]["data"]["models.yaml"]
    document = yaml.safe_load(text)
    assert document["budget"] == {"pods": 6, "nvidia.com/gpu": 2}
    slow, quick = document["models"]
    assert slow == {
        "queue": "Slow.Jobs",
        "deployment": "leadtime-slow",
        "scaling": "keda",
        "min_replicas": 0,
        "max_replicas": 4,
        "standby": 0,
        "standby_price": 0,
        "guaranteed": 0,
        "objective_s": 20,
        "late_cost": 12,
        "service_guess_s": 5,
        "startup_guess_s": 30,
        "concurrency": 1,
        "batch": 1,
    }
    assert (quick["queue"], quick["scaling"]) == ("quick", "direct")
    assert (quick["concurrency"], quick["batch"]) == (8, 8)
    assert quick["resources"] == {"nvidia.com/gpu": 1}


@pytest.mark.parametrize("name", ["models", "production"])
def test_the_scaler_takes_the_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(rendered(name)["ConfigMap", "leadtime-models"]["data"]["models.yaml"], encoding="utf-8")
    models = read_models(file)
    assert models.budget
    assert [one.deployment for one in models.models] == [one["metadata"]["name"] for one in rendered(name).models]


def test_the_scaler_may_write_the_scale_of_direct_models_alone(three: Rendered) -> None:
    pods, read, written, deployments, events, lease, leases = three["Role", "leadtime-scaler"]["rules"]
    assert pods == {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    assert read["resources"] == written["resources"] == ["deployments/scale"]
    assert (read["verbs"], read["resourceNames"]) == (["get"], ["leadtime-slow", "leadtime-quick"])
    assert (written["verbs"], written["resourceNames"]) == (["patch"], ["leadtime-quick"])
    assert (deployments["resources"], deployments["resourceNames"]) == (["deployments"], read["resourceNames"])
    assert (deployments["verbs"], events["resources"], events["verbs"]) == (["get"], ["events"], ["list"])
    name = three.config(three["Deployment", "leadtime-scaler"])["LEASE_NAME"]
    assert (lease["resources"], lease["resourceNames"], lease["verbs"]) == (["leases"], [name], ["get", "update"])
    assert (leases["resources"], leases["verbs"]) == (["leases"], ["create"])


@pytest.mark.parametrize("name", ["scaler", "direct"])
def test_of_one_model_the_settings_say_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rendered(name)
    deployment = found["Deployment", "leadtime-scaler"]
    for variable, value in found.config(deployment).items():
        monkeypatch.setenv(variable, value)
    scaler = ScalerSettings()
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    ports = {port["name"]: port["containerPort"] for port in container_of(deployment)["ports"]}
    assert ports["probes"] == scaler.probe_port == int(annotations["prometheus.io/port"])
    (model,) = found.models
    assert scaler.deployment == model["metadata"]["name"]
    assert scaler.lease_name == "leadtime-scaler"
    assert scaler.queue_name == found.config(model)["QUEUE_NAME"]
    assert str(scaler.concurrency) == found.config(model)["CONCURRENCY"]
    # One may go, and the other is there.
    assert deployment["spec"]["replicas"] > found["PodDisruptionBudget", "leadtime-scaler"]["spec"]["minAvailable"] == 1
    if name == "direct":
        assert scaler.scaler_mode == "direct"
        assert not any("keda.sh" in manifest["apiVersion"] for manifest in found.all)
        return
    assert scaler.scaler_mode == "keda"
    (port,) = found["Service", "leadtime-scaler"]["spec"]["ports"]
    assert port["targetPort"] == "grpc"
    assert port["port"] == ports["grpc"] == scaler.scaler_port
    spec = scaled(found, "toy")
    (trigger,) = spec["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("external-push", "AverageValue")
    assert trigger["metadata"]["scalerAddress"] == f"leadtime-scaler.leadtime.svc:{scaler.scaler_port}"
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (scaler.min_replicas, scaler.max_replicas)


def test_hpa_does_not_second_guess_the_scaler() -> None:
    spec = scaled(rendered("scaler"), "toy")
    assert not any(spec["advanced"]["scalingModifiers"].values())
    assert spec["cooldownPeriod"] == 0
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    for direction in ("scaleUp", "scaleDown"):
        rules = behavior[direction]
        assert (rules["stabilizationWindowSeconds"], rules["tolerance"], rules["selectPolicy"]) == (0, "0", "Max")
        (policy,) = rules["policies"]
        assert policy["type"] == "Pods"
        assert policy["value"] >= spec["maxReplicaCount"]
    # KEDA forgets the metric of a scaler that it can't reach with the first failure that is below the threshold.
    assert spec["fallback"] == {"failureThreshold": 0, "replicas": 1, "behavior": "currentReplicasIfHigher"}


@pytest.mark.parametrize("name", ["scaler", "direct"])
def test_network_policies_let_the_scaler_be_asked_and_ask(name: str) -> None:
    spec = rendered(name)["NetworkPolicy", "leadtime-scaler"]["spec"]
    assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "scaler"
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {443, 6443, 8443}
    asked = [rule for rule in spec["ingress"] if rule["ports"] == [{"protocol": "TCP", "port": 9000}]]
    assert bool(asked) is (name == "scaler")
    for rule in asked:
        (source,) = rule["from"]
        assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "keda"}
    reads = rendered(name)["NetworkPolicy", "leadtime-to-redis"]["spec"]["podSelector"]
    assert "scaler" in reads["matchExpressions"][0]["values"]


@pytest.mark.parametrize(
    "other", [{"namespace": "team-b"}, {"release": "second"}, {"namespace": "a", "release": "team-leadtime"}]
)
def test_two_releases_have_nothing_in_common(other: dict[str, str], three: Rendered) -> None:
    second = rendering(models=THREE, budget={"pods": 6}, **other)

    def keys(of: Rendered) -> set[tuple[str, ...]]:
        return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in of.all}

    assert keys(three) & keys(second) == set()
    namespace, release = other.get("namespace", "leadtime"), other.get("release", "leadtime")
    text = yaml.safe_dump_all(second.all)
    assert set(re.findall(r"[\w-]+\.([\w-]+)\.svc", text)) == {namespace}
    if release == "second":
        assert not re.search(r"leadtime-(gateway|valkey|scaler|workers|redis|slow|quick|counted)", text)
    for workload in second.workloads:
        assert workload["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == release


def test_a_gpu_model_has_its_node_its_weights_and_its_memory() -> None:
    found = rendered("production")
    whisper, _ = found.models
    pod, container = pod_of(whisper), container_of(whisper)
    assert container["image"] == "registry.example.com/whisper:3"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["weights"]["persistentVolumeClaim"] == {"claimName": "whisper-weights", "readOnly": True}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts["shm"]["mountPath"] == "/dev/shm"  # noqa: S108
    assert mounts["weights"]["readOnly"] is True
    # Where libraries download to can be written.
    assert found.config(whisper)["HF_HOME"].startswith(mounts["cache"]["mountPath"])
    assert "readOnly" not in mounts["cache"]


def test_an_image_is_kept_on_the_nodes_that_a_worker_may_come_to() -> None:
    model = {
        "name": "a",
        "prePull": True,
        "nodeSelector": {"gpu": "yes"},
        "image": {"repository": "r.io/a", "tag": "1"},
    }
    (keeper,) = rendering(models=[model, {"name": "b"}]).of_kind("DaemonSet")
    validate(json.dumps(keeper))
    assert container_of(keeper)["image"] == "r.io/a:1"
    assert pod_of(keeper)["nodeSelector"] == {"gpu": "yes"}
    assert "nvidia.com/gpu" not in container_of(keeper)["resources"]["limits"]
    assert pod_of(keeper)["securityContext"]["runAsNonRoot"] is True
    assert container_of(keeper)["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_large_number_is_not_written_with_an_exponent() -> None:
    found = rendering(settings={"MAX_INPUT_BYTES": 104_857_600}, models=[{"name": "toy", "env": {"A": 1e15, "B": 0.5}}])
    (model,) = found.models
    config = found.config(model)
    assert (config["MAX_INPUT_BYTES"], config["A"], config["B"]) == ("104857600", "1000000000000000", "0.5")


@pytest.mark.parametrize("kind", ["server", "sentinel", "cluster"])
def test_keda_finds_an_external_redis_of_each_kind(kind: str) -> None:
    keda = {"kind": kind, "addresses": "redis.example:6380", "sentinelMaster": "main", "tls": True}
    keda |= {"sentinelPasswordKey": "sentinel"} if kind == "sentinel" else {}
    redis = {"existingSecret": "mine", "ports": [6380], "keda": keda, "usernameKey": "user", "filesSecret": "ca"}
    found = rendering(
        models=[{"name": "toy", "scaling": "streams"}], valkey={"enabled": False}, redis=redis
    )  # fmt: skip
    types = {"server": "redis-streams", "sentinel": "redis-sentinel-streams", "cluster": "redis-cluster-streams"}
    for trigger in found.streams_triggers:
        metadata = trigger["metadata"]
        assert trigger["type"] == types[kind]
        assert metadata["address" if kind == "server" else "addresses"] == "redis.example:6380"
        assert ("sentinelMaster" in metadata) is (kind == "sentinel")
        assert metadata["enableTLS"] == "true"
    assert len(found.streams_triggers) == 2
    (authentication,) = found.of_kind("TriggerAuthentication")
    of_sentinel = {"sentinelPassword"} if kind == "sentinel" else set()
    told = {one["parameter"] for one in authentication["spec"]["secretTargetRef"]}
    assert told == {"password", "username"} | of_sentinel
    for workload in found.of_kind("Deployment"):
        (url,) = (entry for entry in container_of(workload)["env"] if entry["name"] == "REDIS_URL")
        assert url["valueFrom"]["secretKeyRef"] == {"name": "mine", "key": "url"}
        assert {"name": "redis", "secret": {"secretName": "ca"}} in pod_of(workload)["volumes"]
    assert found.of_kind("StatefulSet") == found.of_kind("Secret") == []


def test_a_password_of_ones_own_is_the_charts_servers() -> None:
    """Where nothing can be looked up, so that the chart would make another one each time."""
    found = rendering(redis={"existingSecret": "mine"}, modelDefaults={"scaling": "streams"})
    assert found.of_kind("Secret") == []
    assert found.streams_triggers[0]["metadata"]["address"] == "leadtime-valkey.leadtime.svc:6379"
    (rule,) = found["NetworkPolicy", "leadtime-to-redis"]["spec"]["egress"]
    assert rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "valkey"
    volumes = {volume["name"]: volume for volume in pod_of(found["StatefulSet", "leadtime-valkey"])["volumes"]}
    assert volumes["secret"]["secret"]["secretName"] == "mine"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"models": []}, "models"),
        ({"models": [{"name": "gateway"}]}, "name"),
        ({"models": [{"name": "a"}, {"name": "a"}]}, "two models have the name a"),
        ({"models": [{"name": "a", "queue": "q"}, {"name": "b", "queue": "q"}]}, "two models have the queue q"),
        ({"models": [{"name": "a", "replicas": 3}]}, "replicas"),
        ({"models": [{"name": "a", "minReplicas": 11}]}, "the model a has minReplicas above maxReplicas"),
        ({"models": [{"name": "a", "guaranteed": 11}]}, "the model a has guaranteed above maxReplicas"),
        ({"models": [{"name": "a", "standby": 11}]}, "the model a has standby above maxReplicas"),
        (
            {"models": [{"name": "a", "standby": 1, "scaling": "streams"}]},
            "the model a has standby with scaling: streams",
        ),
        ({"budget": {"nvidia.com/gpu": 1}}, "no model that the scaler decides for names nvidia.com/gpu"),
        ({"models": [{"name": "a", "terminationSeconds": 10}]}, "terminationSeconds"),
        (
            {"models": [{"name": "a", "weights": {"claim": "x", "image": "y"}}]},
            "its weights in a claim and in an image",
        ),
        ({"fullnameOverride": "a" * 40, "models": [{"name": "b" * 20}]}, "61 characters"),
        ({"valkey": {"enabled": False}}, "redis.existingSecret has to name a Secret"),
        (
            {"valkey": {"enabled": False}, "redis": {"existingSecret": "r"}, "modelDefaults": {"scaling": "streams"}},
            "redis.keda.addresses says where",
        ),
        ({"gateway": {"ingress": {"enabled": True}}}, "gateway.ingress needs gateway.hosts"),
        ({"gateway": {"httpRoute": {"enabled": True}}}, "gateway.httpRoute needs parentRefs"),
        ({"release": "team.leadtime"}, "Services can't be named after team.leadtime"),
        (
            {"gateway": {"apiKeys": {"existingSecret": "k"}}, "monitoring": {"monitors": {"enabled": True}}},
            "the metrics need a port of their own",
        ),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_can_not_work_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(DeployError, match=re.escape(said)):
        rendering(**values)

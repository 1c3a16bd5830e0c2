"""The chart as Helm renders it: valid, safe, and in step with the code."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from deploy.kubernetes import helm
from deploy.kubernetes.chart import CHART, VALUES, read
from gateway.settings import GatewaySettings
from tests.deploy.chart.rendered import FILES, ROOT, Rendered, component_of, container_of, pod_of, validate
from tests.deploy.chart.rendered import rendered as rendered_with
from workers import __version__
from workers.kubernetes.deletion_cost import DELETION_COST, HAND_BACK_S, PodSettings
from workers.scaler.settings import ScalerSettings
from workers.settings import ObjectSettings, WorkerSettings

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

    from tests.deploy.chart.rendered import Manifest

# The models' own.
MODEL_SETTINGS = {"MODEL_SETUP_S", "MODEL_PREDICT_S", "CALL_S", "INPUT_S", "HF_HOME", "XDG_CACHE_HOME"}
MODULES = {"gateway": "gateway", "worker": "workers", "scaler": "workers.scaler"}
# Kinds that others define: Kubernetes' own schemas don't know them.
FOREIGN = ("keda.sh/", "monitoring.coreos.com/", "cert-manager.io/", "gateway.networking.k8s.io/")
CLUSTER_WIDE = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


@pytest.fixture(scope="module", params=FILES)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return rendered_with(request.param)


def names_of(*settings: type[BaseSettings]) -> set[str]:
    return {name.upper() for each in settings for name in each.model_fields}


@pytest.mark.parametrize("name", ["", *FILES])
def test_helm_finds_no_fault(name: str) -> None:
    values = read(VALUES / f"{name}.yaml") if name else {}
    report = helm.library().lint(CHART, values, strict=True, namespace="leadtime")
    assert report["errors"] == []
    assert [one for one in report["messages"] if "icon" not in one["error"]] == []


def test_the_chart_has_the_version_of_the_code() -> None:
    metadata = read(CHART / "Chart.yaml")
    assert metadata["version"] == metadata["appVersion"] == __version__


def test_kubernetes_takes_every_manifest(rendered: Rendered) -> None:
    for manifest in rendered.all:
        if not manifest["apiVersion"].startswith(FOREIGN):
            validate(json.dumps(manifest))


def test_everything_is_labelled_and_in_the_namespace(rendered: Rendered) -> None:
    for manifest in rendered.all:
        metadata = manifest["metadata"]
        for name in ("name", "instance", "component", "part-of", "managed-by", "version"):
            assert metadata["labels"][f"app.kubernetes.io/{name}"], metadata["name"]
        assert metadata.get("namespace") == (None if manifest["kind"] in CLUSTER_WIDE else "leadtime")
    for workload in rendered.workloads:
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
        # A new version alone replaces no pod.
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys()


def test_pods_are_restricted(rendered: Rendered) -> None:
    assert rendered.of_kind("Namespace") == []  # `just deploy` makes it, or whoever installs
    for workload in rendered.workloads:
        pod, container = pod_of(workload), container_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        assert not any("hostPath" in volume for volume in pod.get("volumes", []))


def test_only_workers_and_scaler_have_a_token_and_it_lets_them_do_little(rendered: Rendered) -> None:
    tokens = {component_of(one): pod_of(one)["automountServiceAccountToken"] for one in rendered.workloads}
    has_scaler = rendered.has("Deployment", "leadtime-scaler")
    assert {name for name, token in tokens.items() if token} == ({"worker", "scaler"} if has_scaler else {"worker"})
    assert not any(account["automountServiceAccountToken"] for account in rendered.of_kind("ServiceAccount"))
    roles = {role["metadata"]["name"]: role["rules"] for role in rendered.of_kind("Role")}
    assert roles.keys() == ({"leadtime-workers", "leadtime-scaler"} if has_scaler else {"leadtime-workers"})
    assert roles["leadtime-workers"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    assert rendered.of_kind("ClusterRole") == rendered.of_kind("ClusterRoleBinding") == []
    for binding in rendered.of_kind("RoleBinding"):
        assert rendered.has("ServiceAccount", binding["subjects"][0]["name"])
        assert rendered.has("Role", binding["roleRef"]["name"])
    (policy,) = rendered.of_kind("ValidatingAdmissionPolicy")
    (condition,) = policy["spec"]["matchConditions"]
    account = pod_of(rendered.models[0])["serviceAccountName"]
    assert condition["expression"] == f'request.userInfo.username == "system:serviceaccount:leadtime:{account}"'
    (binding,) = rendered.of_kind("ValidatingAdmissionPolicyBinding")
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    assert DELETION_COST.startswith("controller.kubernetes.io/")


def test_environment_is_known_to_the_code(rendered: Rendered) -> None:
    known = {
        "gateway": names_of(GatewaySettings, WorkerSettings, ObjectSettings),
        "worker": names_of(GatewaySettings, WorkerSettings, ObjectSettings, PodSettings) | MODEL_SETTINGS,
        "scaler": names_of(ScalerSettings, ObjectSettings),
    }
    for workload in rendered.of_kind("Deployment"):
        environment = {entry["name"] for entry in container_of(workload)["env"]} | rendered.config(workload).keys()
        assert environment <= known[component_of(workload)]
        assert {"REDIS_URL", "QUEUE_NAME"} <= environment


def test_environment_is_valid_and_agrees_with_the_manifests(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = rendered["Deployment", "leadtime-gateway"]
    with monkeypatch.context() as patched:
        for name, value in rendered.config(deployment).items():
            patched.setenv(name, value)
        gateway = GatewaySettings()
    assert container_of(deployment)["ports"][0]["containerPort"] == gateway.port == 8002
    (port,) = rendered["Service", "leadtime-gateway"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (8002, "http")
    assert scraped(deployment) == str(gateway.metrics_port or gateway.port)

    queues = []
    for model in rendered.models:
        with monkeypatch.context() as patched:
            for name, value in rendered.config(model).items():
                patched.setenv(name, value)
            worker, pod = WorkerSettings(), PodSettings()
        queues.append(worker.queue_name)
        assert container_of(model)["ports"] == [{"name": "probes", "containerPort": worker.probe_port}]
        assert scraped(model) == str(worker.probe_port)
        assert "replicas" not in model["spec"]  # nobody resets them
        termination_s = pod_of(model)["terminationGracePeriodSeconds"]
        assert pod.termination_s == termination_s
        assert pod.grace_s(worker) == termination_s - HAND_BACK_S > 0
        assert model["spec"]["progressDeadlineSeconds"] > worker.model_load_timeout_s
        # Every call that hands back or leaves is bounded by these (worker.py); the rest is for a slow node.
        assert 4 * worker.redis_timeout_s + 2 < HAND_BACK_S
    assert gateway.queue_list() == queues


def scraped(workload: Manifest) -> str:
    return str(workload["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"])


def test_probes_are_routes_of_the_code(rendered: Rendered) -> None:
    for workload in rendered.of_kind("Deployment"):
        container = container_of(workload)
        paths = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
        assert paths == {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
        ports = {container[probe]["httpGet"]["port"] for probe in paths}
        assert ports == {container["ports"][0]["name"]}
        assert container["command"] == ["python", "-m", MODULES[component_of(workload)]]


def test_an_ingress_publishes_the_api_alone() -> None:
    """The metrics have a port that neither the Service nor a stranger's pod reaches."""
    rendered = rendered_with("production")
    gateway = rendered["Deployment", "leadtime-gateway"]
    port = rendered.config(gateway)["METRICS_PORT"]
    published = {named["targetPort"] for named in rendered["Service", "leadtime-gateway"]["spec"]["ports"]}
    assert published == {"http"}
    assert {named["name"]: named["containerPort"] for named in container_of(gateway)["ports"]} == {
        "http": 8002,
        "metrics": int(port),
    }
    api, metrics = rendered["NetworkPolicy", "leadtime-gateway"]["spec"]["ingress"]
    assert [one["port"] for one in api["ports"]] == [8002]
    assert [one["port"] for one in metrics["ports"]] == [int(port)]
    assert list(metrics["from"][0]) == ["namespaceSelector"]
    (ingress,) = rendered.of_kind("Ingress")
    (rule,) = ingress["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == "leadtime-gateway"


def test_network_policies_deny_what_is_not_named(rendered: Rendered) -> None:
    spec = rendered["NetworkPolicy", "leadtime-default-deny"]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert set(spec) == {"podSelector", "policyTypes"}
    for workload in rendered.workloads:
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert spec["podSelector"]["matchLabels"].items() <= labels.items()


def test_network_policies_let_only_these_reach_valkey(rendered: Rendered) -> None:
    if not rendered.has("StatefulSet", "leadtime-valkey"):
        pytest.skip("it has a server of its own")
    (rule,) = rendered["NetworkPolicy", "leadtime-valkey"]["spec"]["ingress"]
    components = {
        source["podSelector"]["matchLabels"].get("app.kubernetes.io/component", "keda") for source in rule["from"]
    }
    other = {"keda"} if rendered.streams_triggers else {"scaler"}
    assert components == {"gateway", "worker"} | other
    assert rule["ports"] == [{"protocol": "TCP", "port": 6379}]


def test_valkey_keeps_what_it_accepted() -> None:
    rendered = rendered_with("minikube")
    lines = rendered["ConfigMap", "leadtime-valkey"]["data"]["valkey.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
    (limit,) = (
        int(line.removeprefix("maxmemory ").removesuffix("mb")) for line in lines if re.match("maxmemory ", line)
    )
    memory = container_of(rendered["StatefulSet", "leadtime-valkey"])["resources"]["limits"]["memory"]
    assert limit < 0.7 * int(memory.removesuffix("Mi"))


def test_no_secret_is_committed() -> None:
    assert rendered_with("production").of_kind("Secret") == []
    passwords: set[str] = set()
    for name in ("minikube", "experiments/streams"):
        (secret,) = rendered_with(name).of_kind("Secret")
        assert secret["immutable"] is True
        passwords.add(secret["data"]["password"])
    assert len(passwords) == 2


def test_every_number_of_the_values_is_in_the_schema() -> None:
    def members(value: Any, path: str = "") -> set[str]:
        if not isinstance(value, dict):
            return set()
        found = {f"{path}.{name}" for name in value}
        return found.union(*(members(below, f"{path}.{name}") for name, below in value.items()))

    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def known(part: Any, path: str = "") -> set[str]:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        properties = part.get("properties", {})
        return {f"{path}.{name}" for name in properties}.union(
            *(known(below, f"{path}.{name}") for name, below in properties.items())
        )

    free = re.compile(r"\.(resources\.(requests|limits)|behavior|dashboard\.labels)\.")
    assert {one for one in members(read(CHART / "values.yaml")) if not free.search(one)} <= known(schema)
    assert (ROOT / "deploy/chart/Chart.yaml").is_file()

"""The manifests as kustomize renders them: valid, safe, and in step with the code."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from arq.worker import func
from prometheus_client.parser import text_string_to_metric_families

from deploy.kubernetes import __main__ as commands
from gateway.http.connection.budget import ByteBudget
from gateway.metrics import GatewayMetrics
from gateway.settings import GatewaySettings
from workers.kubernetes.deletion_cost import DELETION_COST, HAND_BACK_S, PodSettings
from workers.predict import predict
from workers.scaler.__main__ import LEASE_OBJECT
from workers.scaler.decider import Decider
from workers.scaler.jobs import JobsSeen
from workers.scaler.metrics import ScalerMetrics
from workers.scaler.settings import ScalerSettings
from workers.scaler.status import ScalerStatus
from workers.scaler.surroundings import ReplicasSeen, SoleLeader
from workers.settings import WorkerSettings
from workers.stream import Counts
from workers.telemetry.metrics import WorkerMetrics
from workers.worker import Worker
from workers.worker.beside.probe import Probe

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

ROOT = Path(__file__).resolve().parents[3]
OVERLAYS = sorted(path.name for path in (ROOT / "deploy/overlays").iterdir() if path.is_dir())
OVERLAYS += sorted(f"../experiments/{path.name}" for path in (ROOT / "deploy/experiments").iterdir() if path.is_dir())
WITH_VALKEY = ["direct", "e2e", "minikube", "scaler"]
WITH_SCALER = ["direct", "scaler"]
KUBERNETES = "1.34"
MODEL_SETTINGS = {"MODEL_SETUP_S", "MODEL_PREDICT_S"}  # the toy model's own
MODULES = {"gateway": "gateway", "workers": "workers", "scaler": "workers.scaler"}
Manifest = dict[str, Any]


@functools.cache
def kustomize(folder: Path) -> str:
    """What kubectl would apply."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Rendered:
    """One overlay's manifests by kind and name."""

    def __init__(self, overlay: str, root: Path = ROOT) -> None:
        self.overlay = overlay
        self.all: list[Manifest] = list(yaml.load_all(kustomize(root / "deploy/overlays" / overlay), yaml.CSafeLoader))

    def __getitem__(self, key: tuple[str, str]) -> Manifest:
        (found,) = (m for m in self.all if (m["kind"], m["metadata"]["name"]) == key)
        return found

    def of_kind(self, kind: str) -> list[Manifest]:
        return [m for m in self.all if m["kind"] == kind]

    def has(self, kind: str, name: str) -> bool:
        return any((m["kind"], m["metadata"]["name"]) == (kind, name) for m in self.all)

    @property
    def has_scaler(self) -> bool:
        return self.has("Deployment", "scaler")

    @property
    def streams_triggers(self) -> list[Manifest]:
        """Triggers by which KEDA itself reads the stream; none where the scaler does."""
        found = [trigger for scaled in self.of_kind("ScaledObject") for trigger in scaled["spec"]["triggers"]]
        return [trigger for trigger in found if trigger["type"] == "redis-streams"]

    @property
    def workloads(self) -> list[Manifest]:
        return [m for m in self.all if m["kind"] in ("Deployment", "StatefulSet")]

    def config(self, workload: Manifest) -> dict[str, str]:
        """The environment of a workload's container as far as it is written down; secrets are left out."""
        container = container_of(workload)
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= self["ConfigMap", source["configMapRef"]["name"]]["data"]
        return found | {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}


def pod_of(workload: Manifest) -> Manifest:
    pod: Manifest = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: Manifest) -> Manifest:
    (container,) = pod_of(workload)["containers"]
    assert isinstance(container, dict)
    return container


@pytest.fixture(scope="module", params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return Rendered(request.param)


def names_of(*settings: type[BaseSettings]) -> set[str]:
    return {name.upper() for each in settings for name in each.model_fields}


@functools.cache
def validate(manifest_json: str) -> None:
    """Raises kubernetes_validate.ValidationError. Overlays have many manifests in common."""
    import kubernetes_validate  # takes two seconds

    kubernetes_validate.validate(json.loads(manifest_json), KUBERNETES, strict=True)


def test_kubernetes_takes_every_manifest(rendered: Rendered) -> None:
    for manifest in rendered.all:
        if "keda.sh" not in manifest["apiVersion"]:
            validate(json.dumps(manifest))


def test_everything_is_labelled_and_in_the_namespace(rendered: Rendered) -> None:
    for manifest in rendered.all:
        metadata = manifest["metadata"]
        for name in ("name", "instance", "part-of", "managed-by"):
            assert metadata["labels"][f"app.kubernetes.io/{name}"], metadata["name"]
        if manifest["kind"] not in ("Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
            assert metadata["namespace"] == "leadtime"
    for workload in rendered.workloads:
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert {"app.kubernetes.io/name", "app.kubernetes.io/component"} <= labels.keys()


def test_pods_are_restricted(rendered: Rendered) -> None:
    (namespace,) = rendered.of_kind("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in rendered.workloads:
        pod, container = pod_of(workload), container_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_only_workers_and_scaler_have_a_token_and_it_lets_them_do_little(rendered: Rendered) -> None:
    tokens = {w["metadata"]["name"]: pod_of(w)["automountServiceAccountToken"] for w in rendered.workloads}
    with_token = {"workers", "scaler"} if rendered.has_scaler else {"workers"}
    assert {name for name, token in tokens.items() if token} == with_token
    assert not any(account["automountServiceAccountToken"] for account in rendered.of_kind("ServiceAccount"))
    roles = {role["metadata"]["name"]: role["rules"] for role in rendered.of_kind("Role")}
    assert roles.keys() == with_token
    assert roles["workers"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    if rendered.has_scaler:
        pods, scale, lease, leases = roles["scaler"]
        assert pods == {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
        verbs = ["get"] if rendered.of_kind("ScaledObject") else ["get", "patch"]
        assert (scale["resources"], scale["resourceNames"]) == (["deployments/scale"], ["workers"])
        assert scale["verbs"] == verbs
        assert (lease["resources"], lease["resourceNames"]) == (["leases"], [LEASE_OBJECT])
        assert lease["verbs"] == ["get", "update"]
        assert (leases["resources"], leases["verbs"]) == (["leases"], ["create"])
    assert rendered.of_kind("ClusterRole") == rendered.of_kind("ClusterRoleBinding") == []
    (policy,) = rendered.of_kind("ValidatingAdmissionPolicy")
    # In any namespace: the name of the account is made from that of the pod's namespace.
    assert policy["spec"]["matchConditions"][0]["expression"] == (
        'request.userInfo.username == "system:serviceaccount:" + request.namespace + ":workers"'
    )
    assert DELETION_COST.startswith("controller.kubernetes.io/")


def test_environment_is_known_to_the_code(rendered: Rendered) -> None:
    known = {
        "gateway": names_of(GatewaySettings, WorkerSettings),
        "workers": names_of(GatewaySettings, WorkerSettings, PodSettings) | MODEL_SETTINGS,
    }
    if rendered.has_scaler:
        known["scaler"] = names_of(ScalerSettings)
    for name, settings in known.items():
        workload = rendered["Deployment", name]
        environment = {entry["name"] for entry in container_of(workload)["env"]} | rendered.config(workload).keys()
        assert environment <= settings
        assert {"REDIS_URL", "QUEUE_NAME"} <= environment


def test_environment_is_valid_and_agrees_with_the_manifests(
    rendered: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = rendered["Deployment", "workers"]
    for name, value in {**rendered.config(rendered["Deployment", "gateway"]), **rendered.config(deployment)}.items():
        monkeypatch.setenv(name, value)
    gateway, worker, pod = GatewaySettings(), WorkerSettings(), PodSettings()

    assert container_of(rendered["Deployment", "gateway"])["ports"][0]["containerPort"] == gateway.port == 8002
    (port,) = rendered["Service", "gateway"]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (8002, "http")
    assert container_of(deployment)["ports"] == [{"name": "probes", "containerPort": worker.probe_port}]
    for name, port_number in (("gateway", gateway.metrics_port or gateway.port), ("workers", worker.probe_port)):
        annotations = rendered["Deployment", name]["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(port_number)

    for trigger in rendered.streams_triggers:
        assert trigger["metadata"]["stream"] == "{" + worker.queue_name + "}:stream"
        assert trigger["metadata"]["consumerGroup"] == "workers"
        scaling = rendered["ScaledObject", "workers"]["spec"]
        assert int(scaling["advanced"]["scalingModifiers"]["target"]) <= worker.concurrency

    termination_s = pod_of(deployment)["terminationGracePeriodSeconds"]
    assert pod.termination_s == termination_s
    assert pod.grace_s(worker) == termination_s - HAND_BACK_S > 0
    # Every call that hands back or leaves is bounded by these (worker.py); the rest is for a slow node.
    assert 4 * worker.redis_timeout_s + 2 < HAND_BACK_S


def test_nobody_resets_the_replicas(rendered: Rendered) -> None:
    assert "replicas" not in rendered["Deployment", "workers"]["spec"]


def test_keda_reads_the_stream_where_there_is_no_scaler(rendered: Rendered) -> None:
    assert bool(rendered.streams_triggers) is not rendered.has_scaler
    if rendered.has_scaler:
        assert rendered.of_kind("TriggerAuthentication") == []
        return
    scaling = rendered["ScaledObject", "workers"]["spec"]
    assert scaling["scaleTargetRef"] == {"name": "workers"}
    assert scaling["minReplicaCount"] == 0
    assert scaling["advanced"]["scalingModifiers"]["formula"] == "lag + pending"
    by_name = {trigger["name"]: trigger for trigger in scaling["triggers"]}
    assert by_name.keys() == {"lag", "pending"}
    assert "lagCount" in by_name["lag"]["metadata"]
    assert "lagCount" not in by_name["pending"]["metadata"]
    assert scaling["fallback"]["replicas"] > 0
    (authentication,) = rendered.of_kind("TriggerAuthentication")
    for trigger in scaling["triggers"]:
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]


@pytest.mark.parametrize("overlay", WITH_SCALER)
def test_scaler_is_set_as_the_manifests_say(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = Rendered(overlay)
    deployment = rendered["Deployment", "scaler"]
    for name, value in rendered.config(deployment).items():
        monkeypatch.setenv(name, value)
    scaler = ScalerSettings()
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    ports = {port["name"]: port["containerPort"] for port in container_of(deployment)["ports"]}
    assert ports["probes"] == scaler.probe_port == int(annotations["prometheus.io/port"])
    assert scaler.deployment == "workers"
    assert str(scaler.concurrency) == rendered.config(rendered["Deployment", "workers"])["CONCURRENCY"]
    assert scaler.queue_name == rendered.config(rendered["Deployment", "workers"])["QUEUE_NAME"]
    # One may go, and the other is there.
    assert deployment["spec"]["replicas"] > rendered["PodDisruptionBudget", "scaler"]["spec"]["minAvailable"] == 1
    if overlay == "direct":
        assert scaler.scaler_mode == "direct"
        assert not any("keda.sh" in manifest["apiVersion"] for manifest in rendered.all)
        return
    assert scaler.scaler_mode == "keda"
    (port,) = rendered["Service", "scaler"]["spec"]["ports"]
    assert port["targetPort"] == "grpc"
    assert port["port"] == ports["grpc"] == scaler.scaler_port
    spec = rendered["ScaledObject", "workers"]["spec"]
    (trigger,) = spec["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("external-push", "AverageValue")
    assert trigger["metadata"]["scalerAddress"] == f"scaler.leadtime.svc:{scaler.scaler_port}"
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (scaler.min_replicas, scaler.max_replicas)


def test_hpa_does_not_second_guess_the_scaler() -> None:
    spec = Rendered("scaler")["ScaledObject", "workers"]["spec"]
    assert "scalingModifiers" not in spec["advanced"]
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


@pytest.mark.parametrize("overlay", WITH_SCALER)
def test_network_policies_let_the_scaler_be_asked_and_ask(overlay: str) -> None:
    rendered = Rendered(overlay)
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in rendered.of_kind("NetworkPolicy")}
    scaler = {"app.kubernetes.io/name": "leadtime", "app.kubernetes.io/component": "scaler"}
    assert policies["scaler"]["podSelector"]["matchLabels"] == scaler
    ports = {port["port"] for rule in policies["scaler"]["egress"] for port in rule["ports"]}
    assert ports == {443, 6443, 8443, 6379}
    (rule,) = policies["valkey-for-scaler"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": scaler}}]
    assert ("scaler-for-keda" in policies) is (overlay == "scaler")
    if overlay == "scaler":
        (rule,) = policies["scaler-for-keda"]["ingress"]
        (source,) = rule["from"]
        assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "keda"}
        assert rule["ports"] == [{"protocol": "TCP", "port": 9000}]


@pytest.mark.parametrize("through", ["keda", "direct"])
def test_scaler_in_an_overlay_of_ones_own(through: str, tmp_path: Path) -> None:
    """As docs/kubernetes.md has it, on the example that overlays/production is."""
    text = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
    (snippet,) = (part for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "components:" in part)
    more = yaml.safe_load(snippet.replace("../../scaler/keda #", f"../../scaler/{through} #"))
    if through == "direct":
        more["patches"] = [p for p in more["patches"] if p.get("target", {}).get("kind") != "ScaledObject"]
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "deploy/overlays/production/kustomization.yaml"
    own = yaml.safe_load(file.read_text(encoding="utf-8"))
    own["patches"] = [p for p in own["patches"] if p["target"]["kind"] != "ScaledObject"] + more["patches"]
    file.write_text(yaml.safe_dump(own | {key: more[key] for key in ("components", "labels")}), encoding="utf-8")

    rendered = Rendered("production", tmp_path)
    scaler = rendered["Deployment", "scaler"]
    assert container_of(scaler)["image"] == container_of(rendered["Deployment", "workers"])["image"] != "leadtime:dev"
    assert rendered.config(scaler)["MAX_REPLICAS"] == "40"
    assert rendered.config(scaler)["SCALER_MODE"] == through
    if through == "keda":
        assert rendered["ScaledObject", "workers"]["spec"]["maxReplicaCount"] == 40
    else:
        assert rendered.of_kind("ScaledObject") == []
    (reads,) = rendered["NetworkPolicy", "to-redis"]["spec"]["podSelector"]["matchExpressions"]
    assert "scaler" in reads["values"]
    labels = scaler["spec"]["template"]["metadata"]["labels"]
    assert scaler["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for manifest in rendered.all:
        if "keda.sh" not in manifest["apiVersion"]:
            validate(json.dumps(manifest))


@pytest.mark.parametrize("overlay", ["minikube", "scaler", "direct", "production"])
def test_queue_and_namespace_have_one_place_each(overlay: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    for file, line, changed in [
        (f"overlays/{overlay}/kustomization.yaml", "namespace: leadtime\n", "namespace: team-a\n"),
        ("base/settings.env", "QUEUE_NAME=leadtime\n", "QUEUE_NAME=images\n"),
    ]:
        path = tmp_path / "deploy" / file
        text = path.read_text("utf-8")
        assert text.count(line) == 1
        path.write_text(text.replace(line, changed), "utf-8")

    rendered = Rendered(overlay, tmp_path)
    assert {m["metadata"]["namespace"] for m in rendered.all if "namespace" in m["metadata"]} == {"team-a"}
    assert [m["metadata"]["name"] for m in rendered.of_kind("Namespace")] == ["team-a"]
    for workload in rendered.of_kind("Deployment"):
        assert rendered.config(workload)["QUEUE_NAME"] == "images"
    for trigger in rendered.streams_triggers:
        assert trigger["metadata"]["stream"] == "{images}:stream"
    text = yaml.safe_dump_all(rendered.all)
    assert set(re.findall(r"[\w-]+\.([\w-]+)\.svc", text)) <= {"team-a"}
    assert "$(" not in text
    (condition,) = rendered["ValidatingAdmissionPolicy", "leadtime-workers"]["spec"]["matchConditions"]
    assert 'request.namespace + ":workers"' in condition["expression"]


def test_probes_are_routes_of_the_code(rendered: Rendered) -> None:
    for name, module in MODULES.items():
        if not rendered.has("Deployment", name):
            continue
        container = container_of(rendered["Deployment", name])
        paths = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
        assert paths == {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
        ports = {container[probe]["httpGet"]["port"] for probe in paths}
        assert ports == {container["ports"][0]["name"]}
        assert container["command"] == ["python", "-m", module]


def test_an_ingress_publishes_the_api_alone() -> None:
    """The metrics have a port that neither the Service nor a stranger's pod reaches."""
    rendered = Rendered("production")
    pod = rendered["Deployment", "gateway"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    port = next(setting["value"] for setting in container["env"] if setting["name"] == "METRICS_PORT")
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == port
    published = {named["targetPort"] for named in rendered["Service", "gateway"]["spec"]["ports"]}
    assert published == {"http"}
    assert {named["name"]: named["containerPort"] for named in container["ports"]} == {
        "http": 8002,
        "metrics": int(port),
    }
    (rule,) = rendered["NetworkPolicy", "gateway-metrics"]["spec"]["ingress"]
    assert [one["port"] for one in rule["ports"]] == [int(port)]
    assert list(rule["from"][0]) == ["namespaceSelector"]
    (rule,) = rendered["NetworkPolicy", "gateway"]["spec"]["ingress"]
    assert [one["port"] for one in rule["ports"]] == [8002]


def test_network_policies_deny_what_is_not_named(rendered: Rendered) -> None:
    spec = rendered["NetworkPolicy", "default-deny"]["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("overlay", WITH_VALKEY)
def test_network_policies_let_only_these_reach_valkey(overlay: str) -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in Rendered(overlay).of_kind("NetworkPolicy")}
    (rule,) = policies["valkey"]["ingress"]
    components = {
        source["podSelector"]["matchLabels"].get("app.kubernetes.io/component", "keda") for source in rule["from"]
    }
    assert components == {"gateway", "worker", "keda"}
    assert rule["ports"] == [{"protocol": "TCP", "port": 6379}]


@pytest.mark.parametrize("overlay", WITH_VALKEY)
def test_valkey_keeps_what_it_accepted(overlay: str) -> None:
    rendered = Rendered(overlay)
    (config,) = (m["data"]["valkey.conf"] for m in rendered.of_kind("ConfigMap") if "valkey.conf" in m["data"])
    lines = config.splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(lines)
    (limit,) = (
        int(line.removeprefix("maxmemory ").removesuffix("mb")) for line in lines if re.match("maxmemory ", line)
    )
    memory = container_of(rendered["StatefulSet", "valkey"])["resources"]["limits"]["memory"]
    assert limit < 0.7 * int(memory.removesuffix("Mi"))


def test_no_secret_is_committed(rendered: Rendered) -> None:
    assert rendered.of_kind("Secret") == []


def test_settings_file_names_settings() -> None:
    lines = (ROOT / "deploy/base/settings.env").read_text(encoding="utf-8").splitlines()
    names = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    assert names <= names_of(GatewaySettings) & names_of(WorkerSettings)


async def test_dashboard_asks_for_metrics_that_exist() -> None:
    worker = Worker([func(predict)], settings=WorkerSettings(), handle_signals=False)
    Probe(worker.session, worker.heartbeat, lambda: 0)
    text = worker.metrics.text() + GatewayMetrics(ByteBudget(1)).text({"": Counts(*[0] * len(Counts._fields))}, 0)
    await worker.close()
    scaler = scaler_metrics()
    text += scaler
    known = {sample.name for family in text_string_to_metric_families(text.decode()) for sample in family.samples}
    # Metrics with labels have no sample before their first use.
    known |= {f"leadtime_{name}" for name in ("http_requests_total", "pushes_total", "http_request_seconds_bucket")}
    assert isinstance(worker.metrics, WorkerMetrics)
    dashboard = json.loads((ROOT / "deploy/grafana/leadtime.json").read_text(encoding="utf-8"))
    asked = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked |= set(re.findall(r"\bleadtime_\w+", target["expr"]))
    assert asked
    assert asked <= known
    # What a scaler exports is there to be looked at.
    exported = {
        sample.name for family in text_string_to_metric_families(scaler.decode()) for sample in family.samples
    }  # fmt: skip
    assert {name for name in exported if re.match(r"leadtime_\w+(?<!_created)$", name)} <= asked
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


def scaler_metrics() -> bytes:
    """Of a scaler that has decided."""
    decider, status = Decider(ScalerSettings().policy_options), ScalerStatus(SoleLeader())
    status.replicas, status.outstanding = ReplicasSeen(0, 0), 1
    status.decision = decider.decide(JobsSeen(1.0, 1000, 1, 1, 0, ()), status.replicas)
    status.learnt = decider.state
    return ScalerMetrics(status).text()


def test_deploy_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.kubernetes", "deploy"]
    environment = {"PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("leadtime: error: minikube is not on the PATH: install it (")
    assert done.stderr.count("\n") == 1


def test_deploy_waits_for_what_an_overlay_has_and_takes_the_rest_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """From one overlay to another no second scaler is left."""
    kubectl = str(Path(sys.executable).with_name("kubectl"))
    monkeypatch.setattr(commands, "kubectl", lambda *arguments: [kubectl, *arguments])
    monkeypatch.setattr(commands, "render", functools.cache(commands.render))

    def left(overlay: str) -> set[tuple[str, str]]:
        documents = yaml.safe_load_all(commands.left_by_others(overlay))
        return {(document["kind"], document["metadata"]["name"]) for document in documents}

    assert commands.workloads(commands.render("scaler")) == [
        *("statefulset/valkey", "deployment/gateway", "deployment/scaler", "deployment/workers"),
    ]
    assert ("ScaledObject", "workers") in left("direct")
    assert ("Service", "scaler") in left("direct")
    assert ("Deployment", "scaler") in left("minikube")
    assert ("Role", "scaler") in left("e2e")
    assert left("scaler") == {("TriggerAuthentication", "redis")}


@pytest.mark.parametrize(
    ("live", "overlay", "removed"),
    [("minikube", "scaler", 1), ("scaler", "e2e", 1), ("minikube", "e2e", 0), ("", "e2e", 0)],
)
def test_deploy_takes_a_scaled_object_away_that_asks_others(
    monkeypatch: pytest.MonkeyPatch, live: str, overlay: str, removed: int
) -> None:
    """One that stays is brought up to date: its HPA goes on."""
    found = {"items": [Rendered(live)["ScaledObject", "workers"]] if live else []}
    manifests = yaml.safe_dump_all(Rendered(overlay).all)
    ran: list[list[str]] = []
    monkeypatch.setattr(commands, "answer", lambda *_arguments: json.dumps(found))
    monkeypatch.setattr(commands, "shown", lambda command, *_arguments: ran.append(command))
    commands.remove_other_triggers(manifests)
    assert len(ran) == removed
    assert all("delete" in command and "scaledobject" in command for command in ran)

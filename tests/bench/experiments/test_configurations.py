"""The configurations of the experiments, and what a time scale makes of them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bench.experiments.cell import notes, rendered
from bench.experiments.configurations import Configuration, find, surplus
from bench.experiments.matrix import Setup
from bench.experiments.stage import with_image

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def all_of_them() -> dict[str, Configuration]:
    return {one.name: one for one in find()}


def of(manifests: list[Manifest] | tuple[Manifest, ...], kind: str, name: str = "workers") -> Manifest:
    (found,) = (one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def scaling(configuration: Configuration) -> Manifest:
    found: Manifest = of(configuration.manifests, "ScaledObject")["spec"]
    return found


def behavior(spec: Manifest) -> Manifest:
    found: Manifest = spec["advanced"].get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
    return found


def environment(manifests: list[Manifest] | tuple[Manifest, ...], name: str = "workers") -> dict[str, str]:
    (container,) = of(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def test_configurations_differ_in_nothing_but_the_scaling(all_of_them: dict[str, Configuration]) -> None:
    assert all_of_them.keys() >= {"streams", "default-like", "fast-up-slow-down", "slow-up-slow-down"}
    rest = []
    for name in ("streams", "default-like", "fast-up-slow-down", "slow-up-slow-down"):
        one = copy.deepcopy(all_of_them[name].manifests)
        spec = of(one, "ScaledObject")["spec"]
        for key in ("pollingInterval", "cooldownPeriod"):
            del spec[key]
        spec["advanced"].pop("horizontalPodAutoscalerConfig", None)
        rest.append(one)
    assert rest[0] == rest[1] == rest[2] == rest[3]
    assert len({one.digest for one in all_of_them.values()}) == len(all_of_them)


SLOW = {"stabilizationWindowSeconds": 300, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("default-like", {}),
        ("fast-up-slow-down", {"scaleDown": SLOW}),
        ("slow-up-slow-down", {"scaleDown": SLOW, "scaleUp": SLOW}),
    ],
)
def test_configurations_of_the_old_system(
    all_of_them: dict[str, Configuration], name: str, expected: dict[str, Any]
) -> None:
    spec = scaling(all_of_them[name])
    assert (spec["pollingInterval"], spec["cooldownPeriod"]) == (30, 300)
    assert behavior(spec) == expected


def test_time_scale_divides_model_and_control_loops(all_of_them: dict[str, Configuration]) -> None:
    manifests, remarks = rendered(all_of_them["slow-up-slow-down"], Setup(time_scale=10))
    assert environment(manifests)["MODEL_SETUP_S"] == "3"
    assert environment(manifests)["MODEL_PREDICT_S"] == "0.5"
    spec = of(manifests, "ScaledObject")["spec"]
    assert (spec["pollingInterval"], spec["cooldownPeriod"]) == (3, 30)
    slow = {"stabilizationWindowSeconds": 30, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 6}]}
    assert behavior(spec) == {"scaleUp": slow, "scaleDown": slow}
    assert remarks == []


def test_what_can_not_be_divided_is_said(all_of_them: dict[str, Configuration]) -> None:
    manifests, remarks = rendered(all_of_them["streams"], Setup(time_scale=10))
    spec = of(manifests, "ScaledObject")["spec"]
    assert spec["pollingInterval"] == 1
    assert "pollingInterval: 1 s in place of 0.2" in remarks
    assert behavior(spec)["scaleDown"]["policies"][0]["periodSeconds"] == 2
    assert any("2 s in place of 1.5" in remark for remark in remarks)


def test_the_defaults_of_the_hpa_are_divided_too(all_of_them: dict[str, Configuration]) -> None:
    manifests, remarks = rendered(all_of_them["default-like"], Setup(time_scale=5))
    assert behavior(of(manifests, "ScaledObject")["spec"]) == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 3},
                {"type": "Percent", "value": 100, "periodSeconds": 3},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 60,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 3}],
        },
    }
    (remark,) = remarks
    assert "defaults" in remark


def test_a_scale_of_1_leaves_everything_as_it_is(all_of_them: dict[str, Configuration]) -> None:
    for configuration in all_of_them.values():
        manifests, remarks = rendered(configuration, Setup())
        for before, after in zip(configuration.manifests, manifests, strict=True):
            if before["kind"] != "Deployment":
                assert after == before
        assert environment(manifests)["MODEL_SETUP_S"] == "30"
        assert environment(manifests)["MODEL_PREDICT_S"] == "5"
        assert remarks == []


def test_scaler_and_streams_may_have_as_many_workers(all_of_them: dict[str, Configuration]) -> None:
    streams, scaler = scaling(all_of_them["streams"]), scaling(all_of_them["scaler"])
    limits = (streams["minReplicaCount"], streams["maxReplicaCount"])
    assert limits == (0, 10)
    assert (scaler["minReplicaCount"], scaler["maxReplicaCount"]) == limits
    for name in ("scaler", "direct"):
        found = environment(all_of_them[name].manifests, "scaler")
        assert (int(found.get("MIN_REPLICAS", "0")), int(found["MAX_REPLICAS"])) == limits
        assert environment(all_of_them[name].manifests) == environment(all_of_them["streams"].manifests)


def test_a_scaler_in_a_hurry_expects_what_there_is(all_of_them: dict[str, Configuration]) -> None:
    """Its guesses are divided, though no manifest names them; the HPA's tick is what it is."""
    setup = Setup(time_scale=6, hpa_sync_s=2.5)
    through_keda, remarks = rendered(all_of_them["scaler"], setup)
    found = environment(through_keda, "scaler")
    assert (found["OBJECTIVE_S"], found["SERVICE_GUESS_S"], found["STARTUP_GUESS_S"]) == ("0", "0.833333", "5")
    assert found["ACTUATION_S"] == "2.5"
    spec = of(through_keda, "ScaledObject")["spec"]
    assert (spec["pollingInterval"], spec["cooldownPeriod"]) == (1, 0)
    for rules in behavior(spec).values():
        assert (rules["stabilizationWindowSeconds"], rules["tolerance"]) == (0, "0")
        assert [policy["value"] for policy in rules["policies"]] == [10000]
    assert any("pollingInterval: 1 s in place of 0.833333" in remark for remark in remarks)
    direct, remarks = rendered(all_of_them["direct"], setup)
    assert remarks == []
    assert "ACTUATION_S" not in environment(direct, "scaler")
    assert environment(direct, "scaler")["STARTUP_GUESS_S"] == "5"


def test_what_a_scaler_is_told_is_divided() -> None:
    env = [{"name": "OBJECTIVE_S", "value": "7"}, {"name": "LEASE_S", "value": "30"}]
    container = {"name": "scaler", "command": ["python", "-m", "workers.scaler"], "env": env}
    template = {"spec": {"containers": [container]}}
    scaler = {"kind": "Deployment", "metadata": {"name": "mine"}, "spec": {"template": template}}
    found = environment(rendered(Configuration("mine", (scaler,)), Setup(time_scale=10))[0], "mine")
    assert (found["OBJECTIVE_S"], found["LEASE_S"], found["STARTUP_GUESS_S"]) == ("0.7", "30", "3")
    assert env == [{"name": "OBJECTIVE_S", "value": "7"}, {"name": "LEASE_S", "value": "30"}], "given, and not changed"


def test_notes_tell_of_the_tick() -> None:
    assert not any("tick" in note for note in notes(Setup(), []))
    assert any("the HPA's tick is 15 s (by --hpa-sync) in place of 1.5 s" in n for n in notes(Setup(time_scale=10), []))
    assert any("tick is 1.5 s (by --hpa-sync)." in n for n in notes(Setup(time_scale=10, hpa_sync_s=1.5), []))


def test_what_only_others_have_is_surplus_but_never_data() -> None:
    def made(kind: str, name: str) -> Manifest:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "leadtime"}}

    shared = made("Deployment", "workers")
    with_scaler = Configuration(
        "scaler", (shared, made("Deployment", "scaler"), made("Secret", "tls"), made("StatefulSet", "valkey"))
    )
    plain = Configuration("plain", (shared, made("ScaledObject", "workers")))
    assert surplus(plain, [with_scaler, plain]) == [made("Deployment", "scaler")]
    assert surplus(with_scaler, [with_scaler, plain]) == [made("ScaledObject", "workers")]


def test_from_one_configuration_to_the_next_no_second_scaler_is_left(all_of_them: dict[str, Configuration]) -> None:
    def left(name: str) -> set[str]:
        found = surplus(all_of_them[name], all_of_them.values())
        return {f"{one['kind']}/{one['metadata']['name']}" for one in found}

    of_keda = {"ScaledObject/workers", "TriggerAuthentication/redis", "Service/scaler", "NetworkPolicy/scaler-for-keda"}
    of_scaler = {
        *("Deployment/scaler", "PodDisruptionBudget/scaler", "Service/scaler", "ServiceAccount/scaler"),
        *("Role/scaler", "RoleBinding/scaler"),
        *("NetworkPolicy/scaler", "NetworkPolicy/scaler-for-keda", "NetworkPolicy/valkey-for-scaler"),
    }
    assert left("direct") == of_keda
    assert left("scaler") == {"TriggerAuthentication/redis"}
    for name in ("streams", "default-like", "fast-up-slow-down", "slow-up-slow-down"):
        assert left(name) == of_scaler


def test_the_deployed_image_takes_the_place_of_the_manifests_one(all_of_them: dict[str, Configuration]) -> None:
    manifests = with_image(all_of_them["streams"].manifests, "leadtime:0123456789abcdef")
    images = {
        name: of(manifests, kind, name)["spec"]["template"]["spec"]["containers"][0]["image"]
        for kind, name in (("Deployment", "workers"), ("Deployment", "gateway"), ("StatefulSet", "valkey"))
    }
    assert images.pop("valkey").startswith("valkey/valkey:")
    assert set(images.values()) == {"leadtime:0123456789abcdef"}

"""The configurations of the experiments."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bench.experiments.configurations import Configuration, find, surplus, with_image, with_model_times

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def all_of_them() -> dict[str, Configuration]:
    return {one.name: one for one in find()}


def of(manifests: list[Manifest] | tuple[Manifest, ...], kind: str, name: str = "leadtime-toy") -> Manifest:
    (found,) = (one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def scaling(configuration: Configuration) -> Manifest:
    found: Manifest = of(configuration.manifests, "ScaledObject")["spec"]
    return found


def behavior(spec: Manifest) -> Manifest:
    found: Manifest = spec["advanced"].get("horizontalPodAutoscalerConfig", {}).get("behavior", {})
    return found


def environment(manifests: list[Manifest] | tuple[Manifest, ...], name: str = "leadtime-toy") -> dict[str, str]:
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


def test_the_model_takes_as_long_as_it_is_told(all_of_them: dict[str, Configuration]) -> None:
    for configuration in all_of_them.values():
        manifests = with_model_times(configuration.manifests, startup_s=3, service_s=0.5)
        times = {"MODEL_SETUP_S": "3", "MODEL_PREDICT_S": "0.5"}
        assert environment(manifests) == environment(configuration.manifests) | times
        for before, after in zip(configuration.manifests, manifests, strict=True):
            assert (after == before) is not (
                (before["kind"], before["metadata"]["name"]) == ("Deployment", "leadtime-toy")
            )


def test_scaler_and_streams_may_have_as_many_workers(all_of_them: dict[str, Configuration]) -> None:
    streams, scaler = scaling(all_of_them["streams"]), scaling(all_of_them["scaler"])
    limits = (streams["minReplicaCount"], streams["maxReplicaCount"])
    assert limits == (0, 10)
    assert (scaler["minReplicaCount"], scaler["maxReplicaCount"]) == limits
    for name in ("scaler", "direct"):
        found = environment(all_of_them[name].manifests, "leadtime-scaler")
        assert (int(found.get("MIN_REPLICAS", "0")), int(found["MAX_REPLICAS"])) == limits
        assert environment(all_of_them[name].manifests) == environment(all_of_them["streams"].manifests)


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

    scaled, asked = {"ScaledObject/leadtime-toy"}, {"Service/leadtime-scaler"}
    reads = {"TriggerAuthentication/leadtime-redis"}
    kinds = ("Deployment", "PodDisruptionBudget", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy")
    assert left("direct") == scaled | asked | reads
    assert left("scaler") == reads
    for name in ("streams", "default-like", "fast-up-slow-down", "slow-up-slow-down"):
        assert left(name) == {f"{kind}/leadtime-scaler" for kind in kinds} | asked


def test_the_deployed_image_takes_the_place_of_the_manifests_one(all_of_them: dict[str, Configuration]) -> None:
    manifests = with_image(all_of_them["streams"].manifests, "leadtime:0123456789abcdef")
    images = {
        name: of(manifests, kind, name)["spec"]["template"]["spec"]["containers"][0]["image"]
        for kind, name in (
            ("Deployment", "leadtime-toy"),
            ("Deployment", "leadtime-gateway"),
            ("StatefulSet", "leadtime-valkey"),
        )
    }
    assert images.pop("leadtime-valkey").startswith("valkey/valkey:")
    assert set(images.values()) == {"leadtime:0123456789abcdef"}

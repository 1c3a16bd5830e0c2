"""A configuration in a hurry: all its times divided by one number, as far as they can be."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from workers.scaler.settings import PolicySettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.experiments.configurations import Manifest

# Settings of Deployments that are seconds of the experiment, and not of the machinery.
SETTINGS = ("MODEL_SETUP_S", "MODEL_PREDICT_S", "OBJECTIVE_S", "SERVICE_GUESS_S", "STARTUP_GUESS_S")
# Those of the scaler: where a manifest says nothing, its own defaults are what is divided.
_OF_SCALER = ("OBJECTIVE_S", "SERVICE_GUESS_S", "STARTUP_GUESS_S")
_SCALER_COMMAND = ["python", "-m", "workers.scaler"]
# In seconds, with the least that its API takes.
_OF_KEDA = {"pollingInterval": 1, "cooldownPeriod": 0, "initialCooldownPeriod": 0}
_LEAST_PERIOD_S = 1
# What the HPA does where its `behavior` is silent (autoscaling/v2 defaults). Without any `behavior` its five minutes
# are a flag of the controller manager; only with one can they be divided.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}


class Divider:
    """Divides seconds by the scale; `notes` tell where that was not possible."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.notes: list[str] = []

    def whole(self, seconds: float, least: int, what: str) -> int:
        """To a whole number that is not below `least`."""
        exact = seconds / self.scale
        divided = max(least, round(exact))
        if divided != exact:
            self.notes.append(f"{what}: {divided} s in place of {exact:g}")
        return divided


def model_times(manifests: Sequence[Manifest], startup_s: float, service_s: float) -> list[Manifest]:
    """A copy in which the toy model takes these, in seconds."""
    copied = copy.deepcopy(list(manifests))
    for manifest in copied:
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == "workers":
            for name, seconds in (("MODEL_SETUP_S", startup_s), ("MODEL_PREDICT_S", service_s)):
                _set(manifest, name, f"{seconds:g}")
    return copied


def scaler_times(manifests: Sequence[Manifest], hpa_sync_s: float) -> list[Manifest]:
    """A copy in which a scaler's times are written down, to be divided, and the HPA's tick is told, which is not."""
    copied = copy.deepcopy(list(manifests))
    for manifest in copied:
        if manifest["kind"] != "Deployment" or not _is_scaler(manifest):
            continue
        told = {entry["name"]: entry.get("value") for entry in _environment(manifest)}
        for name in _OF_SCALER:
            if name not in told:
                _set(manifest, name, f"{PolicySettings.model_fields[name.lower()].default:g}")
        if told.get("SCALER_MODE", "keda") == "keda":
            _set(manifest, "ACTUATION_S", f"{hpa_sync_s:g}")
    return copied


def divided(manifests: Sequence[Manifest], scale: float) -> tuple[list[Manifest], list[str]]:
    """A copy, times divided by `scale`, and what could not be divided. With a scale of 1 nothing is changed."""
    copied = copy.deepcopy(list(manifests))
    if scale == 1:
        return copied, []
    divider = Divider(scale)
    for manifest in copied:
        if manifest["kind"] == "ScaledObject":
            _divide_scaled_object(manifest, divider)
        if manifest["kind"] == "Deployment":
            _divide_settings(manifest, scale)
    return copied, divider.notes


def _divide_scaled_object(manifest: Manifest, divider: Divider) -> None:
    spec = manifest["spec"]
    # KEDA's own defaults, as far as they are not 0.
    for name, value in (("pollingInterval", 30), ("cooldownPeriod", 300)):
        spec.setdefault(name, value)
    for name, least in _OF_KEDA.items():
        if name in spec:
            spec[name] = divider.whole(spec[name], least, name)
    config = spec.setdefault("advanced", {}).setdefault("horizontalPodAutoscalerConfig", {})
    if not config.get("behavior"):
        divider.notes.append(
            "the HPA's defaults, which can be divided only as a `behavior`: of n pods it makes max(2 n, n + 4) at most "
            "within a period then, in place of max(2 n, 4) at a tick"
        )
    behavior = config["behavior"] = config.get("behavior") or {}
    for direction, defaults in _DEFAULTS.items():
        rules = behavior[direction] = {**copy.deepcopy(defaults), **(behavior.get(direction) or {})}
        window = "stabilizationWindowSeconds"
        rules[window] = divider.whole(rules[window], 0, f"{direction}'s {window}")
        for policy in rules["policies"]:
            what = f"{direction}'s period of {policy['value']} {policy['type']}"
            policy["periodSeconds"] = divider.whole(policy["periodSeconds"], _LEAST_PERIOD_S, what)


def _divide_settings(manifest: Manifest, scale: float) -> None:
    for entry in _environment(manifest):
        if entry["name"] in SETTINGS and "value" in entry:
            entry["value"] = f"{float(entry['value']) / scale:g}"


def _is_scaler(manifest: Manifest) -> bool:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return bool(container.get("command") == _SCALER_COMMAND)


def _set(manifest: Manifest, name: str, value: str) -> None:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    others = [entry for entry in container.get("env", []) if entry["name"] != name]
    container["env"] = [*others, {"name": name, "value": value}]


def _environment(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for container in manifest["spec"]["template"]["spec"]["containers"]:
        yield from container.get("env", [])

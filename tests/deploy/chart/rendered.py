"""What the chart renders to, by kind and name."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, TypeAlias

from deploy.kubernetes import chart

ROOT = Path(__file__).resolve().parents[3]
# Every file of values, by its path in deploy/values without the ending.
FILES = sorted(path.relative_to(chart.VALUES).with_suffix("").as_posix() for path in chart.VALUES.rglob("*.yaml"))
KUBERNETES = "1.34"

Manifest: TypeAlias = dict[str, Any]


class Rendered:
    """One rendering."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.all = manifests

    def __getitem__(self, key: tuple[str, str]) -> Manifest:
        (found,) = (one for one in self.all if (one["kind"], one["metadata"]["name"]) == key)
        return found

    def of_kind(self, kind: str) -> list[Manifest]:
        return [one for one in self.all if one["kind"] == kind]

    def has(self, kind: str, name: str) -> bool:
        return any((one["kind"], one["metadata"]["name"]) == (kind, name) for one in self.all)

    @property
    def workloads(self) -> list[Manifest]:
        return [one for one in self.all if one["kind"] in ("Deployment", "StatefulSet")]

    @property
    def models(self) -> list[Manifest]:
        """The models' Deployments."""
        return [one for one in self.of_kind("Deployment") if component_of(one) == "worker"]

    @property
    def streams_triggers(self) -> list[Manifest]:
        """Triggers by which KEDA itself reads a stream; none where the scaler does."""
        found = [trigger for scaled in self.of_kind("ScaledObject") for trigger in scaled["spec"]["triggers"]]
        return [trigger for trigger in found if trigger["type"].endswith("-streams")]

    def config(self, workload: Manifest) -> dict[str, str]:
        """The environment of a workload's container as far as it is written down; secrets are left out."""
        container = container_of(workload)
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                found |= self["ConfigMap", source["configMapRef"]["name"]]["data"]
        return found | {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}


@functools.cache
def rendered(name: str) -> Rendered:
    """With a file of values, as release `leadtime` in the namespace `leadtime`."""
    return Rendered(chart.render(chart.read(chart.VALUES / f"{name}.yaml")))


def rendering(release: str = "leadtime", namespace: str = "leadtime", **values: Any) -> Rendered:
    """With values."""
    return Rendered(chart.render(values, release, namespace))


def component_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"]["app.kubernetes.io/component"])


def pod_of(workload: Manifest) -> Manifest:
    pod: Manifest = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: Manifest) -> Manifest:
    (container,) = pod_of(workload)["containers"]
    assert isinstance(container, dict)
    return container


@functools.cache
def validate(manifest_json: str) -> None:
    """Raises kubernetes_validate.ValidationError. Renderings have many manifests in common."""
    import kubernetes_validate  # takes two seconds

    kubernetes_validate.validate(json.loads(manifest_json), KUBERNETES, strict=True)

"""The scaling configurations: each a file of values, with which the chart renders the whole service."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.experiments.kubectl import WORKERS_DEPLOYMENT
from deploy.kubernetes import chart
from deploy.kubernetes.tools import DeployError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Manifest: TypeAlias = dict[str, Any]
FOLDER = chart.VALUES / "experiments"
# What another configuration has and this one has not is deleted; but never what holds data or settings.
_KEPT = ("Namespace", "PersistentVolumeClaim", "StatefulSet", "ConfigMap", "Secret")


class ConfigurationError(Exception):
    """Why a configuration can't be had, in one sentence."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A name, and what the chart makes of its values, but no Secret: that of the cluster stays."""

    name: str
    manifests: tuple[Manifest, ...]

    @property
    def digest(self) -> str:
        """Changes with anything in it."""
        return hashlib.sha256(json.dumps(self.manifests, sort_keys=True).encode()).hexdigest()[:12]


def find(folder: Path = FOLDER) -> list[Configuration]:
    """All of a folder, by name. Raises ConfigurationError."""
    if found := sorted(folder.glob("*.yaml")):
        return [Configuration(path.stem, tuple(_render(path))) for path in found]
    raise ConfigurationError(f"there is no configuration in {folder}: each is a file of values, NAME.yaml")


def chosen(all_of_them: Sequence[Configuration], names: Sequence[str]) -> list[Configuration]:
    """Those with the names, in the names' order. Raises ConfigurationError for one that there is not."""
    by_name = {one.name: one for one in all_of_them}
    if unknown := [name for name in names if name not in by_name]:
        raise ConfigurationError(f"there is no configuration {unknown[0]!r}: there are {', '.join(by_name)}")
    return [by_name[name] for name in dict.fromkeys(names)]


def surplus(one: Configuration, others: Iterable[Configuration]) -> list[Manifest]:
    """What others have and this one has not, as far as it may be deleted."""
    own, found = _by_key(one.manifests), _by_key(manifest for other in others for manifest in other.manifests)
    return [manifest for key, manifest in sorted(found.items()) if key not in own and manifest["kind"] not in _KEPT]


def _by_key(manifests: Iterable[Manifest]) -> dict[tuple[str, str, str], Manifest]:
    return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in manifests}


def with_image(manifests: Sequence[Manifest], image: str) -> list[Manifest]:
    """A copy, with the deployed image in the service's own containers."""
    copied = copy.deepcopy(list(manifests))
    for manifest in copied:
        template = manifest.get("spec", {}).get("template", {})
        for container in template.get("spec", {}).get("containers", []):
            if container["command"][0] == "python":
                container["image"] = image
    return copied


def with_model_times(manifests: Sequence[Manifest], startup_s: float, service_s: float) -> list[Manifest]:
    """A copy in which the workers' toy model takes these times."""
    copied = copy.deepcopy(list(manifests))
    for manifest in copied:
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == WORKERS_DEPLOYMENT:
            (container,) = manifest["spec"]["template"]["spec"]["containers"]
            times = {"MODEL_SETUP_S": startup_s, "MODEL_PREDICT_S": service_s}
            others = [entry for entry in container.get("env", []) if entry["name"] not in times]
            container["env"] = [*others, *({"name": name, "value": f"{value:g}"} for name, value in times.items())]
    return copied


def _render(file: Path) -> list[Manifest]:
    try:
        return [one for one in chart.render(chart.read(file)) if one["kind"] != "Secret"]
    except DeployError as error:
        raise ConfigurationError(f"{file.stem} can't be rendered: {error}") from error

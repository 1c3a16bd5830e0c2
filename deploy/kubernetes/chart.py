"""The service's chart: its values for some occasions, and what it renders to."""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from deploy.kubernetes import helm
from deploy.kubernetes.tools import DeployError

Values: TypeAlias = dict[str, Any]
Manifest: TypeAlias = dict[str, Any]

FOLDER = Path(__file__).resolve().parents[1]
CHART = FOLDER / "chart"
VALUES = FOLDER / "values"
RELEASE = "leadtime"
NAMESPACE = "leadtime"
# The oldest that the chart takes: without a cluster, `helm template` has one of its own, 1.20 in some builds.
_KUBERNETES = "1.30.0"
# What `helm template` may take on a busy machine.
_TIMEOUT_S = 60


def values_of(name: str) -> Values:
    """The values of a file of deploy/values by its name, or of FILE.yaml. Raises DeployError if there is none."""
    file = Path(name) if name.endswith(".yaml") else VALUES / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in VALUES.glob("*.yaml")))
        raise DeployError(f"there are no values {name!r}; there are {known}")
    return read(file)


def read(file: Path) -> Values:
    """The values in a file. Raises DeployError if it has none."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DeployError(f"{file} can't be read: {error}") from None
    if not isinstance(values, dict):
        raise DeployError(f"{file} has no values in it")
    return values


def render(values: Values, release: str = RELEASE, namespace: str = NAMESPACE) -> list[Manifest]:
    """The manifests, by the Helm that is there. Secrets are made anew each time. Raises DeployError."""
    text = _by_library(values, release, namespace) if helm.library() else _by_program(values, release, namespace)
    manifests = [manifest for manifest in yaml.load_all(text, _loader()) if manifest]
    for manifest in manifests:
        # As Helm writes them into what it makes: it takes no object for its own that has other ones.
        owner = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
        manifest["metadata"].setdefault("annotations", {}).update(owner)
    return manifests


def _by_library(values: Values, release: str, namespace: str) -> str:
    library = helm.library()
    assert library is not None  # noqa: S101
    try:
        with library.Chart.load(CHART) as chart:
            chart.validate_schema(values)
            files = chart.render(values, name=release, namespace=namespace)
    except library.HelmError as error:
        raise DeployError(f"the chart can't be rendered: {error}") from None
    return "\n---\n".join(text for name, text in sorted(files.items()) if name.endswith(".yaml"))


def _by_program(values: Values, release: str, namespace: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        command = ["helm", "template", release, str(CHART), "--namespace", namespace, "--values", file.name]
        command += ["--kube-version", _KUBERNETES]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", "") or error
            raise DeployError(f"the chart can't be rendered: {said}") from None
    return done.stdout


@functools.cache
def _loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)

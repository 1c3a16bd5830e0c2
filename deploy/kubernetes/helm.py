"""Helm as this machine has it: `helm` if it is on the PATH, or else the one that a Python package brings."""

from __future__ import annotations

import functools
import importlib
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from deploy.kubernetes.tools import DeployError, answer, profile, shown

# For what is deleted; what is made is waited for by `kubectl rollout`, which says what it waits for.
_TIMEOUT_S = 300
# "Apply failed with 1 conflict: conflict with ...", "Apply failed with 4 conflicts: conflicts with ..."
_CONFLICT = re.compile(r"\bconflicts? with\b")


@functools.cache
def library() -> Any:
    """The package `helm_python`, or None where there is no wheel for this machine."""
    try:
        return importlib.import_module("helm_python")
    except (ImportError, OSError):
        return None


class ConflictError(DeployError):
    """Somebody else has set a member that the chart sets, such as `kubectl edit`."""


def field_manager() -> str:
    """By what name Helm owns what it applies: that of the program it is in."""
    return "helm" if shutil.which("helm") else Path(sys.orig_argv[0]).name


def check() -> None:
    """Raises DeployError if there is no Helm."""
    if not shutil.which("helm") and not library():
        raise DeployError("helm is not on the PATH: install it (https://helm.sh/docs/intro/install/)")


def upgrade(chart: Path, release: str, namespace: str, values: dict[str, Any]) -> None:
    """Installs the release, or brings it up to date; returns without waiting for its pods.

    Raises ConflictError, DeployError.
    """
    if shutil.which("helm"):
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump(values, file)
            file.flush()
            # Without values, Helm would take those of the revision before.
            command = ("upgrade", "--install", release, str(chart), "--values", file.name, "--reset-values")
            try:
                answer(_program(namespace, *command), "installing the chart")
            except DeployError as error:
                raise refusal(str(error)) from None
        return
    with _Library(namespace) as helm:
        helm.upgrade(chart, release, values)


def uninstall(release: str, namespace: str) -> bool:
    """Removes the release, and waits until its objects are gone; False if it isn't there. Raises DeployError."""
    if shutil.which("helm"):
        # Helm 4 has no --all.
        command = ("list", "--deployed", "--failed", "--pending", "--uninstalling", "--output", "json")
        listed = json.loads(answer(_program(namespace, *command), "listing releases"))
        if release not in {one["name"] for one in listed}:
            return False
        shown(_program(namespace, "uninstall", release, "--wait", f"--timeout={_TIMEOUT_S}s"), "removing the release")
        return True
    with _Library(namespace) as helm:
        return helm.uninstall(release)


def _program(namespace: str, *arguments: str) -> list[str]:
    return ["helm", "--kube-context", profile(), "--namespace", namespace, *arguments]


def refusal(said: str) -> DeployError:
    """The error for what Helm says: ConflictError where others have set what the chart sets."""
    return ConflictError(said) if _CONFLICT.search(said) else DeployError(said)


class _Library:
    """The package's connection to the cluster."""

    def __init__(self, namespace: str) -> None:
        self._helm = library()
        try:
            self._config = self._helm.Config(namespace=namespace, kube_context=profile())
        except self._helm.HelmError as error:
            raise DeployError(f"helm can't reach the cluster: {error}") from None

    def __enter__(self) -> _Library:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._config.close()

    def upgrade(self, chart: Path, release: str, values: dict[str, Any]) -> None:
        """Installs or upgrades."""
        try:
            do = self._config.upgrade if self._is_there(release) else self._config.install
            do(chart, release, values)
        except self._helm.HelmError as error:
            raise refusal(f"installing the chart failed: {error}") from None

    def uninstall(self, release: str) -> bool:
        """Removes, and waits."""
        try:
            if not self._is_there(release):
                return False
            self._config.uninstall(release, wait="watcher", timeout=_TIMEOUT_S)
        except self._helm.HelmError as error:
            raise DeployError(f"removing the release failed: {error}") from None
        return True

    def _is_there(self, release: str) -> bool:
        try:
            self._config.status(release)
        except self._helm.HelmNotFoundError:
            return False
        return True

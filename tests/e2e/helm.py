"""What the tests ask of Helm beyond what a deploy does: a release's values, its revision, and its way back.

In the context that `deploy` uses. Each call blocks.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from deploy.kubernetes import helm
from deploy.kubernetes.tools import answer, profile

if TYPE_CHECKING:
    from deploy.kubernetes.chart import Values


def values_of_release(release: str, namespace: str) -> Values:
    """The values that it was installed with, the chart's own left out."""
    if shutil.which("helm"):
        return dict(_said(namespace, "get", "values", release) or {})
    with _library(namespace) as config:
        return dict(config.get_values(release))


def revision(release: str, namespace: str) -> int:
    """The number of the release's revision."""
    if shutil.which("helm"):
        return int(_said(namespace, "status", release)["version"])
    with _library(namespace) as config:
        return int(config.status(release)["revision"])


def rollback(release: str, namespace: str, to: int) -> None:
    """Brings the objects of a revision back; returns without waiting for the pods."""
    if shutil.which("helm"):
        answer(_command(namespace, "rollback", release, str(to)), "rolling back")
        return
    with _library(namespace) as config:
        config.rollback(release, version=to)


def _library(namespace: str) -> Any:
    return helm.library().Config(namespace=namespace, kube_context=profile())


def _said(namespace: str, *arguments: str) -> Any:
    return json.loads(answer(_command(namespace, *arguments, "--output", "json"), "asking Helm"))


def _command(namespace: str, *arguments: str) -> list[str]:
    return ["helm", "--kube-context", profile(), "--namespace", namespace, *arguments]

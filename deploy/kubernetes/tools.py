"""minikube and kubectl as this machine has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_INSTALL = {
    "minikube": "https://minikube.sigs.k8s.io/docs/start/",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
}


class DeployError(Exception):
    """Why the command can't go on, in one sentence."""


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(f"leadtime: {text}", file=sys.stderr, flush=True)


def check_tools() -> None:
    """Raises DeployError if minikube or kubectl is missing."""
    for tool, page in _INSTALL.items():
        if shutil.which(tool) is None:
            raise DeployError(f"{tool} is not on the PATH: install it ({page})")


def profile() -> str:
    """minikube's profile, which is the name of its context too; MINIKUBE_PROFILE names another."""
    return os.environ.get("MINIKUBE_PROFILE") or "minikube"


def succeeds(command: Sequence[str]) -> bool:
    """Whether it ends with 0; what it says is not shown."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def shown(command: Sequence[str], what: str, standard_input: str | None = None) -> None:
    """Runs a command whose output the user sees. Raises DeployError if it fails."""
    if subprocess.run(command, input=standard_input, text=True, check=False).returncode:
        raise DeployError(f"{what} failed; what it said is above")


def answer(command: Sequence[str], what: str, standard_input: str | None = None) -> str:
    """What a command writes to stdout. Raises DeployError with what it said if it fails."""
    done = subprocess.run(command, input=standard_input, text=True, capture_output=True, check=False)
    if done.returncode:
        raise DeployError(f"{what} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def minikube(*arguments: str) -> list[str]:
    """A minikube command."""
    return ["minikube", "--profile", profile(), *arguments] if profile() != "minikube" else ["minikube", *arguments]


def kubectl(*arguments: str) -> list[str]:
    """A kubectl command for minikube's cluster, whatever context is the current one."""
    return ["kubectl", "--context", profile(), *arguments]


def in_namespace(namespace: str, *arguments: str) -> list[str]:
    """The same, in a namespace."""
    return kubectl("--namespace", namespace, *arguments)

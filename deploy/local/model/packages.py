"""The packages that a model's `requirements.txt` lists, installed beside the service's own, which stay as they are."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.local.__main__ import LISTS, say
from deploy.local.model.system_packages import SYSTEM_PACKAGES, PackagesError, missing, packages_in
from deploy.local.upkeep.lock import pins
from workers.process.secrets import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIREMENTS = "requirements.txt"
# What the service needs, and what the other lists add is for its developers.
_OWN_LISTS = ("service", "up")
_STAMP = Path(sys.prefix) / "leadtime-model-packages"
_EXTRAS = re.compile(r"\[[^\]]*\]")
_OURS = re.compile(r"^    The user requested \(constraint\) ([\w.-]+)==(\S+)$", re.MULTILINE)
# What pip says instead if the requirement has extras.
_NOT_FOUND = re.compile(r"No matching distribution found for (([\w.-]+)\S*)")
_THEIRS = re.compile(r"^    (?:The user requested (?!\(constraint\))|(\S+ \S+) depends on )(.+)$", re.MULTILINE)


def folder_of(model: str) -> Path | None:
    """The folder of a model's file. None if the model is a module's."""
    file = Path(model.rpartition(":")[0])
    return file.absolute().parent if file.suffix == ".py" else None


def requirements_of(model: str) -> Path | None:
    """The list beside a model's file. None if there is none, or if the model is a module's."""
    folder = folder_of(model)
    return folder / REQUIREMENTS if folder and (folder / REQUIREMENTS).is_file() else None


def install_for(model: str) -> None:
    """Installs what the model's requirements.txt lists, unless that has been done. Raises PackagesError.

    What its packages.txt lists is not installed: it says which are missing.
    """
    if folder := folder_of(model):
        listed_system = folder / SYSTEM_PACKAGES
        if absent := missing(packages_in(listed_system)):
            say(f"{listed_system} lists what is not installed here: apt-get install {' '.join(absent)}")
    listed = requirements_of(model)
    if listed is None:
        return
    constraints = "\n".join(constraints_of(*_OWN_LISTS))
    wanted = hashlib.sha256("\n".join([str(listed), listed.read_text(encoding="utf-8"), constraints]).encode())
    if _STAMP.exists() and _STAMP.read_text(encoding="utf-8") == wanted.hexdigest():
        return
    say(f"installing what {listed} lists")
    _STAMP.unlink(missing_ok=True)
    _install(listed, constraints)
    _STAMP.write_text(wanted.hexdigest(), encoding="utf-8")


def constraints_of(*names: str) -> Iterator[str]:
    """The pins of some of the service's lists, without what pip takes in a list only: hashes and extras."""
    for name in names:
        for pin in pins(LISTS[name].read_text(encoding="utf-8")):
            yield _EXTRAS.sub("", pin.partition("\\")[0], count=1).strip()


def _install(listed: Path, constraints: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
    environment = {**without_secrets(os.environ), "PIP_USER": "0"}
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(constraints)
        file.flush()
        command += ["--requirement", str(listed), "--constraint", file.name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    if conflict := _conflict(said, constraints):
        raise PackagesError(f"{listed}: {conflict}")
    sys.stderr.write(said)
    raise PackagesError(f"what {listed} lists could not be installed: pip, whose words are above, says why")


def _conflict(said: str, constraints: str) -> str:
    """What pip says of a conflict with the service's pins, in one sentence; empty if it says something else."""
    ours, theirs = _OURS.search(said), _THEIRS.search(said)
    if ours and theirs:
        asked = f"{theirs[1]} needs {theirs[2].strip()}" if theirs[1] else f"it asks for {theirs[2].strip()}"
    elif missing := _NOT_FOUND.search(said):
        asked = f"it asks for {missing[1]}"
        ours = re.search(rf"^({re.escape(missing[2])})==(\S+)", constraints, re.MULTILINE | re.IGNORECASE)
    return f"{asked}, but the service has {ours[1]} {ours[2]}, which can't be replaced" if ours else ""

"""constraints.txt can be installed on a new machine, whatever has been published since it was made."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("file", ["constraints.txt", "deploy/requirements.txt"])
def test_what_is_asked_for_with_an_extra_is_pinned_with_it(file: str) -> None:
    """With hashes, pip takes `a[x]` for another requirement than a pinned `a`, and gives up on its newest version."""
    lines = [line.split(";")[0].strip(" \\") for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    pinned = [Requirement(line) for line in lines if "==" in line and not line.startswith((" ", "-", "#"))]
    extras = {canonicalize_name(one.name): one.extras for one in pinned}
    assert extras
    for name in extras:
        try:
            wanted = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another system or Python
            continue
        for asked in map(Requirement, wanted):
            if asked.marker is None or asked.marker.evaluate({"extra": ""}):
                assert asked.extras <= extras.get(canonicalize_name(asked.name), set()), f"{name} asks for {asked}"

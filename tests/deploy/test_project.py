"""What holds for the whole project: its version, its commands, what imports what, and what no file contains."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

import workers
from deploy.kubernetes import context
from deploy.local.__main__ import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def project_files() -> list[Path]:
    """Files that are tracked, or would be; all but the ignored. Without git, the folders that hold code."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git and a clone")
    files = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return [path for path in files if path.is_file()]


def test_version_is_known_where_nothing_is_installed(tmp_path: Path) -> None:
    """In the image there are the packages, and no metadata of theirs: the API tells their version all the same."""
    context.write(context.context(), tmp_path)
    program = (
        "import gateway, gateway.documents.openapi.document as o, gateway.settings as s; "
        "print(gateway.__path__[0]); print(o.describe(s.GatewaySettings())['info']['version'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(tmp_path / "gateway"), workers.__version__]


def test_distribution_has_the_version_of_the_code() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "workers.__version__"}


def test_gateway_does_not_import_what_workers_run() -> None:
    program = (
        "import sys, gateway.__main__; "
        "print([m for m in sys.modules if m.startswith(('workers.model', 'workers.worker'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_recipes_are_the_commands() -> None:
    justfile = (ROOT / "justfile").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"\n{name} *arguments:\n    python3 deploy/local {name} {{{{arguments}}}}\n" in justfile


def test_just_reads_the_justfile() -> None:
    just = Path(sys.executable).with_name("just")
    done = subprocess.run([just, "--list"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(COMMANDS) <= set(done.stdout.split())


def test_no_package_index_in_any_file() -> None:
    index = re.compile(
        r"(--|^)(extra-)?index-url|--find-links|--trusted-host|https?://[^\s/]*(pypi|pythonhosted)|https?://[^\s]*/simple\b",
        re.M,
    )
    found = [
        str(path.relative_to(ROOT))
        for path in project_files()
        if path != Path(__file__).resolve() and index.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def test_no_two_classes_have_the_same_name() -> None:
    found: dict[str, list[Path]] = defaultdict(list)
    for part in ("gateway", "workers", "bench", "deploy", "tests"):
        for path in (ROOT / part).rglob("*.py"):
            for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
                found[name].append(path)
    # Some stand in the text of another program.
    found = {name: [path for path in paths if name in classes_of(path)] for name, paths in found.items() if paths[1:]}
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


@functools.cache
def classes_of(path: Path) -> set[str]:
    """The names of a module's classes."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.ClassDef)}


def test_the_bench_is_smaller_than_what_it_measures() -> None:
    def lines(part: str) -> int:
        return sum(
            path.read_bytes().count(b"\n") for path in (ROOT / part).rglob("*") if path.suffix in (".py", ".lua")
        )

    assert lines("bench") <= 0.6 * (lines("gateway") + lines("workers"))

"""`just deploy`, `just undeploy` and `just image`, as far as they go without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.kubernetes import __main__ as commands
from deploy.kubernetes import chart, context, helm, registry
from deploy.kubernetes.tools import DeployError

ROOT = Path(__file__).resolve().parents[3]


def test_deploy_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.kubernetes", "deploy"]
    environment = {"PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("leadtime: error: minikube is not on the PATH: install it (")
    assert done.stderr.count("\n") == 1


def test_deploy_waits_for_what_others_need_first() -> None:
    manifests = chart.render(chart.values_of("scaler"))
    assert commands.workloads(manifests) == [
        "statefulset/leadtime-valkey",
        *("deployment/leadtime-gateway", "deployment/leadtime-scaler", "deployment/leadtime-toy"),
    ]
    assert commands.workers_of(chart.render(chart.values_of("models"))) == ["leadtime-slow", "leadtime-quick"]


def test_values_that_are_not_for_minikube_are_refused() -> None:
    with pytest.raises(
        DeployError, match="the values production name an image of a registry, so it is not for minikube"
    ):
        commands.deploy("production")
    with pytest.raises(DeployError, match="there are no values 'nothing'; there are direct, e2e, "):
        commands.deploy("nothing")


def test_what_others_have_changed_is_set_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """But never the Secret: rendered here, it has another password."""
    tries: list[str] = []
    applied: list[str] = []

    def upgrade(_chart: Path, release: str, _namespace: str, _values: dict[str, object]) -> None:
        tries.append(release)
        if len(tries) == 1:
            raise helm.ConflictError('conflict with "kubectl-edit" using apps/v1: .spec.replicas')

    def apply(command: list[str], _what: str, standard_input: str = "") -> str:
        assert "--force-conflicts" in command
        applied.extend(one["kind"] for one in json.loads(standard_input)["items"])
        return ""

    monkeypatch.setattr(helm, "upgrade", upgrade)
    monkeypatch.setattr(commands, "answer", apply)
    commands.install(chart.values_of("scaler"))
    assert tries == ["leadtime", "leadtime"]
    assert {"Deployment", "ScaledObject"} <= set(applied)
    assert "Secret" not in applied


@pytest.mark.parametrize(
    ("said", "is_conflict"),
    [
        ('Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas', True),
        ('Apply failed with 4 conflicts: conflicts with "helm":\n- .spec.template', True),
        ("no matches for kind", False),
    ],
)
def test_one_conflict_or_several_are_what_others_have_changed(said: str, is_conflict: bool) -> None:
    assert isinstance(helm.refusal(said), helm.ConflictError) is is_conflict


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ("docker", ["docker build --tag r.io/a/b:1 --file F/deploy/Dockerfile F", "docker push r.io/a/b:1"]),
        ("buildah", ["buildah build --tag r.io/a/b:1 --file F/deploy/Dockerfile F", "buildah push r.io/a/b:1"]),
        ("minikube", ["minikube image build -t r.io/a/b:1 -f deploy/Dockerfile --push F"]),
    ],
)
def test_an_image_is_built_and_pushed_by_what_is_there(
    tool: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINIKUBE_PROFILE", raising=False)
    assert [" ".join(command) for _, command in registry.commands(tool, "r.io/a/b:1", "F", True)] == told
    program = tmp_path / tool
    program.write_text(f'#!/bin/sh\n[ $# = 1 ] || echo "$@" >> {tmp_path}/told\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if os.path.exists("/bin/sh") else str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: str(program) if name == tool else None)
    registry.build("r.io/a/b:1", context.context())
    assert len((tmp_path / "told").read_text(encoding="utf-8").splitlines()) == len(told)


def test_a_tool_that_does_not_work_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as docker without its daemon."""
    for tool, code in (("docker", 1), ("buildah", 0)):
        program = tmp_path / tool
        program.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert registry.builder() == "buildah"
    (tmp_path / "buildah").unlink()
    with pytest.raises(DeployError, match="neither docker nor buildah nor minikube works here"):
        registry.builder()


@pytest.mark.parametrize("name", ["leadtime", "leadtime:1", "r.io/Upper:1", "r.io/a/b", "r.io/a b:1", "--help"])
def test_an_image_for_a_registry_needs_its_whole_name(name: str) -> None:
    with pytest.raises(DeployError, match="is no name for a registry"):
        registry.build(name, {})


def test_the_model_of_a_folder_is_its_one_class_with_a_predict(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="but there is none: name it"):
        registry.model_in(tmp_path)
    (tmp_path / "helpers.py").write_text("class Tokens:\n    def split(self): ...\n", encoding="utf-8")
    file = tmp_path / "whisper.py"
    file.write_text("class Whisper:\n    async def predict(self, input): ...\n", encoding="utf-8")
    assert registry.model_in(tmp_path) == f"{file}:Whisper"
    (tmp_path / "other.py").write_text("class Other:\n    def predict_batch(self, inputs): ...\n", encoding="utf-8")
    with pytest.raises(DeployError, match=r"other\.py:Other, .*whisper\.py:Whisper"):
        registry.model_in(tmp_path)
    with pytest.raises(DeployError, match="is no folder"):
        registry.model_in(tmp_path / "nothing")

"""The program `helm`, where it is installed: it takes what `deploy` and `undeploy` ask of it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from deploy.kubernetes import chart, helm
from tests.e2e import helm as of_e2e

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.kubernetes.chart import Manifest

pytestmark = pytest.mark.skipif(shutil.which("helm") is None, reason="needs helm")


def named(manifests: Sequence[Manifest]) -> list[tuple[str, str]]:
    return sorted((manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests)


@pytest.mark.skipif(helm.library() is None, reason="there is no wheel of Helm for this machine")
@pytest.mark.parametrize("name", ["minikube", "scaler", "three-models"])
def test_the_program_renders_what_the_library_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = chart.values_of(name)
    expected = named(chart.render(values))

    monkeypatch.setattr(helm, "library", lambda: None)

    assert named(chart.render(values)) == expected


def test_the_program_knows_all_options(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Sequence[str]] = []

    def record(command: Sequence[str], _what: str) -> str:
        commands.append(command)
        return '[{"name": "leadtime"}]' if "list" in command else '{"version": 7}'

    for module in (helm, of_e2e):
        monkeypatch.setattr(module, "answer", record)
    monkeypatch.setattr(helm, "shown", record)

    helm.upgrade(chart.CHART, "leadtime", "leadtime", {})
    assert helm.uninstall("leadtime", "leadtime")
    assert of_e2e.revision("leadtime", "leadtime") == 7
    of_e2e.values_of_release("leadtime", "leadtime")
    of_e2e.rollback("leadtime", "leadtime", 1)

    assert len(commands) == 6
    for command in commands:
        # An option that it doesn't know comes before --help.
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

"""The matrix of experiments: its cells, what is kept of them, and how it goes on."""

from __future__ import annotations

import functools
import sys
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bench.common.processes import MeasuredProcess
from bench.common.runs import Run, read
from bench.experiments import command
from bench.experiments.cell import hurry, plan
from bench.experiments.command import alone, main
from bench.experiments.configurations import find
from bench.experiments.kubectl import ClusterError, candidates
from bench.experiments.matrix import MatrixCell, Results, Setup, cells, only, run_all
from bench.load.account import UserJob, columns
from bench.load.generator import Generator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE_S = 60.0
SETUP = Setup(duration_s=60)
CONFIGURATIONS = [("slow", "a1"), ("fast", "b2")]
LOADS = ["ramping", "constant:2"]


class ClusterAwayError(Exception):
    """What may happen to a cell."""


class Runners:
    """Runs that take no time; those of `broken` fail."""

    def __init__(self, *broken: str) -> None:
        self.begun: list[str] = []
        self.said: list[str] = []
        self.broken = set(broken)

    async def run(self, cell: MatrixCell) -> Run:
        self.begun.append(cell.name)
        if cell.name in self.broken:
            raise ClusterAwayError("the API server is away")
        return Run("load", cell.title, 6.0, jobs=columns([UserJob(1, 1.0, ended_s=2.0, outcome="finished")]))

    async def run_all(self, found: list[MatrixCell], folder: Path, again: bool = False) -> list[MatrixCell]:
        return await run_all(found, Results(folder), self.run, self.said.append, (ClusterAwayError,), again)


def matrix() -> list[MatrixCell]:
    return cells(LOADS, CONFIGURATIONS, SETUP)


def names(found: list[MatrixCell]) -> list[str]:
    return [cell.name for cell in found]


async def test_cells_that_are_done_are_not_run_again(tmp_path: Path) -> None:
    first = Runners()
    assert await first.run_all(matrix(), tmp_path / "new") == []
    assert first.begun == ["ramping/slow", "ramping/fast", "constant:2/slow", "constant:2/fast"]
    second = Runners()
    assert await second.run_all(matrix(), tmp_path / "new") == []
    assert second.begun == []
    assert all("is done" in line for line in second.said)
    third = Runners()
    await third.run_all(matrix(), tmp_path / "new", again=True)
    assert third.begun == first.begun


async def test_failed_and_interrupted_cells_are_run_the_next_time(tmp_path: Path) -> None:
    runners = Runners("ramping/fast")
    assert names(await runners.run_all(matrix(), tmp_path)) == ["ramping/fast"]
    assert any("ramping, fast: failed: the API server is away" in line for line in runners.said)

    async def interrupted(cell: MatrixCell) -> Run:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run_all(matrix(), Results(tmp_path), interrupted, runners.said.append, (ClusterAwayError,))
    again = Runners()
    assert await again.run_all(matrix(), tmp_path) == []
    assert again.begun == ["ramping/fast"]


async def test_kept_runs_say_what_cell_they_are_of(tmp_path: Path) -> None:
    cell = matrix()[0]
    await Runners().run_all([cell], tmp_path)
    (file,) = tmp_path.iterdir()
    run = read(file)
    assert run.name == "ramping, slow"
    assert run.parameters["experiment"]["setup"]["duration_s"] == 60
    assert run.parameters["experiment"]["digest"] == "a1"
    assert file.name.startswith("ramping-slow-")


@pytest.mark.parametrize(
    "change",
    [
        {"duration_s": 61.0}, {"seed": 2}, {"process": "poisson"}, {"startup_s": 31.0},
        {"service_s": 6.0}, {"poll_s": 3.0}, {"time_scale": 6.0},
    ],
    ids=str,
)  # fmt: skip
def test_any_parameter_makes_another_cell(change: dict[str, Any]) -> None:
    changed = cells(LOADS, CONFIGURATIONS, replace(SETUP, **change))
    assert not {cell.file_name for cell in changed} & {cell.file_name for cell in matrix()}


def test_another_configuration_of_the_same_name_makes_another_cell() -> None:
    (before,), (after,) = cells(["spike"], [("slow", "a1")], SETUP), cells(["spike"], [("slow", "a2")], SETUP)
    assert before.name == after.name
    assert before.file_name != after.file_name


async def test_a_file_of_something_else_is_no_result(tmp_path: Path) -> None:
    cell, other = matrix()[:2]
    results = Results(tmp_path)
    results.path(cell).write_bytes(b"not a run")
    assert results.run(cell) is None
    await Runners().run_all([other], tmp_path)
    results.path(cell).write_bytes(results.path(other).read_bytes())
    assert results.run(cell) is None
    assert results.run(other) is not None


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ([], ["ramping/slow", "ramping/fast", "constant:2/slow", "constant:2/fast"]),
        (["ramping/*"], ["ramping/slow", "ramping/fast"]),
        (["*/fast"], ["ramping/fast", "constant:2/fast"]),
        (["ramping/slow", "constant:2/*"], ["ramping/slow", "constant:2/slow", "constant:2/fast"]),
        (["spike/*"], []),
    ],
)
def test_only(patterns: list[str], left: list[str]) -> None:
    assert names(only(matrix(), patterns)) == left


def test_a_load_named_twice_is_one() -> None:
    assert names(cells(["spike", "spike"], [("slow", "a1")], SETUP)) == ["spike/slow"]


def test_a_cell_is_a_load_of_the_generator() -> None:
    setup = Setup(duration_s=60, process="poisson", seed=7, poll_s=3)
    found = plan(MatrixCell("ramping", "slow", "a1", setup), "http://127.0.0.1:1")
    assert (found.load, found.name, found.duration_s, found.process) == ("ramping", "ramping, slow", 60, "poisson")
    assert (found.seed, found.poll_s, found.persist) == (7, 3, True)


def test_at_a_time_scale_the_same_jobs_come_in_a_part_of_the_time() -> None:
    setup = Setup(duration_s=600, time_scale=6)
    generator = Generator(plan(MatrixCell("constant:0.1", "slow", "a1", setup), "http://127.0.0.1:1"))
    hurry(generator, setup.time_scale)
    assert generator.duration_s == 100
    assert [round(one.at_s, 6) for one in generator.arrivals[:2]] == [round(10 / 6, 6), round(20 / 6, 6)]
    assert len(generator.arrivals) == 60


def service(ingress: list[dict[str, str]], node_port: int | None = 30080) -> dict[str, Any]:
    port: dict[str, Any] = {"name": "http", "port": 8002}
    if node_port:
        port["nodePort"] = node_port
    return {"spec": {"ports": [port]}, "status": {"loadBalancer": {"ingress": ingress} if ingress else {}}}


NODES = {"items": [{"status": {"addresses": [{"type": "Hostname", "address": "minikube"},
                                             {"type": "InternalIP", "address": "192.168.49.2"}]}}]}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "urls"),
    [
        (service([]), ["http://192.168.49.2:30080", "http://127.0.0.1:30080"]),
        (service([{"ip": "127.0.0.1"}]), ["http://127.0.0.1:8002", "http://192.168.49.2:30080", "http://127.0.0.1:30080"]),
        (service([{"hostname": "lb.example"}], None), ["http://lb.example:8002"]),
        (service([{"ip": "fd00::1"}], None), ["http://[fd00::1]:8002"]),
        (service([], None), []),
    ],
)  # fmt: skip
def test_addresses_of_a_service(found: dict[str, Any], urls: list[str]) -> None:
    assert candidates(found, NODES) == urls


rendered_once = functools.cache(find)


@pytest.fixture
def experiments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[Any, str, str]]:
    """`python -m bench experiments` with its results in `tmp_path` and no cluster: exit code, and what it printed."""
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    monkeypatch.setattr(command, "find", rendered_once)

    def run(*arguments: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench experiments", *arguments, "--output", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.mark.slow
def test_list_needs_no_cluster(experiments: Callable[..., tuple[Any, str, str]], tmp_path: Path) -> None:
    code, stdout, stderr = experiments("--list")
    assert code == 0, stderr
    lines = stdout.splitlines()
    assert [line.split()[2] for line in lines[:-1]] == [
        f"{load}/{name}"
        for load in ("ramping", "spike", "ramp-steady")
        for name in ("default-like", "direct", "fast-up-slow-down", "scaler", "slow-up-slow-down", "streams")
    ]
    assert lines[-1].startswith("18 of 18 to do: 540 minutes of load")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--configurations", "fastest"), "there is no configuration 'fastest': there are default-like, "),
        (("--loads", "nothing"), "there is no load 'nothing'"),
        (("--only", "ramping/none"), "no cell fits ramping/none"),
        (("--duration", "0"), "a number of more than 0 is needed, not '0'"),
        (("--url", "nowhere"), "a URL as http://127.0.0.1:8002 is needed, not 'nowhere'"),
        (("--from", "/no/such/folder"), "there is no configuration in /no/such/folder"),
        ((), "kubectl config current-context: error: current-context is not set"),
    ],
)
def test_what_can_not_be_run_is_said(
    experiments: Callable[..., tuple[Any, str, str]], arguments: tuple[str, ...], said: str
) -> None:
    code, _, stderr = experiments(*arguments)
    assert code == 2
    assert said in stderr


def test_a_folder_of_ones_own_that_can_not_be_rendered(
    experiments: Callable[..., tuple[Any, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("models: [{name: gateway}]\n", encoding="utf-8")
    code, _, stderr = experiments("--list", "--from", str(tmp_path))
    assert code == 2
    assert "mine can't be rendered: " in stderr


@pytest.mark.slow
def test_two_runs_on_one_cluster_are_one_too_many() -> None:
    cluster, another = f"test-{uuid.uuid4()}", f"test-{uuid.uuid4()}"
    code = f"from bench.experiments.command import alone\nwith alone({cluster!r}): print('{{}}', flush=True); input()"
    with MeasuredProcess([sys.executable, "-c", code], {}) as process:
        process.message(PATIENCE_S)
        with pytest.raises(ClusterError, match=f"^other experiments run on the cluster {cluster}: "), alone(cluster):
            pass
        with alone(another):
            pass
    with alone(cluster):
        pass

"""One small measurement of each kind, of this project alone; and what happens when one can't be made."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from bench.common import placement, server
from bench.common.processes import ROOT, BenchError, MeasuredProcess
from bench.peers import command, memory, venvs, workers
from bench.peers.contenders import BARE, GATEWAY, OURS, Contender
from bench.peers.report import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = Contender(OURS, "10 at once", {"CONCURRENCY": "10"}, share=1.0)


@pytest.fixture(scope="module")
def redis() -> Iterator[server.BenchServer]:
    """The server that a run starts."""
    with server.running("valkey") as running:
        yield running


def test_one_round(redis: server.BenchServer) -> None:
    run = Run(2, redis.version)
    sizes = command.Sizes(jobs=300, push_s=0.5, trickled=5, waiting=200, memory_rounds=1, connections=4, rate=50.0)
    command.measure(run, redis, sizes, command.Field([SMALL], [GATEWAY, BARE], [SMALL], [SMALL], [SMALL]))
    assert run.server.startswith("Valkey ")
    assert [drain.rate > 0 for drain in run.jobs[SMALL]] == [True, True]
    assert {endpoint for endpoint, found in run.pushes.items() if found[0].rate > 0} == {GATEWAY, BARE}
    assert len(run.latencies_s[SMALL][0]) == 5
    assert all(latency_s > 0 for latency_s in run.latencies_s[SMALL][0])
    assert len(run.waiting_bytes[SMALL]) == 1
    assert len(run.resident_bytes[SMALL]) == 2


def test_waiting_jobs_take_memory_by_the_job(redis: server.BenchServer) -> None:
    """The functions' own memory is in it, and counts less the more jobs there are."""
    few, many = (memory.waiting_bytes(SMALL, redis, jobs) for jobs in (500, 20_000))
    assert few > many > 50
    assert redis.client.dbsize() == 20_001


def test_memory_of_a_worker_is_that_of_all_its_processes(redis: server.BenchServer) -> None:
    alone = memory.resident_bytes(SMALL, redis)
    assert 10e6 < alone < 500e6
    program = (
        "import json, subprocess, sys; child = subprocess.Popen([sys.executable, '-c', "
        "'kept = bytearray(50_000_000); print(flush=True); import time; time.sleep(600)'], stdout=subprocess.PIPE); "
        "child.stdout.readline(); print(json.dumps({'child': child.pid}), flush=True); sys.stdin.read()"
    )
    with MeasuredProcess([sys.executable, "-c", program], {}) as process:
        process.message(60)
        assert process.resident_bytes() > 50e6


def test_worker_that_ends_is_an_error(redis: server.BenchServer) -> None:
    with pytest.raises(BenchError, match=r"work.*ended too early|fill.*failed"):
        workers.throughput(Contender(OURS, "", {"CONCURRENCY": "many"}, share=1.0), redis, 100)


def test_error_shows_what_the_process_said() -> None:
    program = "import sys; print('no message'); sys.exit('out of luck')"
    with (
        MeasuredProcess([sys.executable, "-c", program], {}) as process,
        pytest.raises(BenchError, match=r"(?s)exit code 1.*out of luck"),
    ):
        process.message(60)


def test_process_that_says_nothing_is_stopped() -> None:
    with MeasuredProcess([sys.executable, "-c", "import time; time.sleep(600)"], {}) as process:
        with pytest.raises(BenchError, match="no answer in time"):
            process.message(0.1)
        assert process.running
    assert not process.running


def test_process_runs_where_it_is_placed() -> None:
    program = "import json, os; print(json.dumps({'cores': sorted(os.sched_getaffinity(0))}))"
    with MeasuredProcess([sys.executable, "-c", program], {}, placement.MEASURED) as process:
        assert process.message(60)["cores"] == sorted(placement.MEASURED)


def test_settings_of_the_user_do_not_reach_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_NAME", "users")
    program = "import json, os; print(json.dumps({'seen': 'QUEUE_NAME' in os.environ}))"
    with MeasuredProcess([sys.executable, "-c", program], {}) as process:
        assert process.message(60)["seen"] is False


def test_unknown_server() -> None:
    name = "nothing-of-that-name"
    with pytest.raises(FileNotFoundError, match=f"no program '{name}'"), server.running(name):
        pass


def test_failed_measurement_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "memory", "--server", "nothing-of-that-name"])
    monkeypatch.setattr(venvs, "versions", lambda _name: {})
    with pytest.raises(SystemExit, match="bench: there is no program"):
        command.main()


def test_command_prints_the_table_and_writes_all_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = command.Sizes(jobs=200, push_s=0.3, trickled=3, waiting=100, memory_rounds=1, connections=2, rate=50.0)
    who = command.Field([SMALL], [GATEWAY, BARE], [SMALL], [SMALL], [SMALL])
    monkeypatch.setattr(command, "QUICK", sizes)
    monkeypatch.setattr(command, "field", lambda _kinds: who)
    monkeypatch.setattr(sys, "argv", ["bench peers", "--quick", "--json", str(tmp_path / "figures.json")])
    command.main()
    assert "pushes/s of one gateway to a bare endpoint's" in capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["versions"][OURS]["arq"]
    assert figures["waiting_jobs"] == 100
    assert figures["jobs"][SMALL.name][0]["rate"] > 0


def test_every_kind_has_us_and_others_in_it() -> None:
    for kind in command.KINDS:
        libraries = command.field([kind]).libraries
        assert OURS in libraries
        assert len(libraries) > 1
    assert command.field([]).libraries == []


def test_other_checkout_is_measured_beside_this_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = command.Sizes(jobs=200, push_s=0.3, trickled=3, waiting=100, memory_rounds=1, connections=2, rate=50.0)
    monkeypatch.setattr(command, "QUICK", sizes)
    arguments = ["--quick", "--only", "jobs", "pushes", "latency", "--against", str(ROOT)]
    monkeypatch.setattr(sys, "argv", ["bench peers", *arguments])
    command.main()
    shown = capsys.readouterr().out
    assert "jobs/s, leadtime (100 at once), to the other checkout's" in shown
    assert "pushes/s, gateway, to the other checkout's" in shown
    assert "bare endpoint" not in shown


def test_folder_that_is_no_checkout_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["bench peers", "--against", str(tmp_path)])
    with pytest.raises(SystemExit, match="is no checkout of this project: it has no folder gateway"):
        command.main()

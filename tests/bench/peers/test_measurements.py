"""One small measurement of each kind, of this project alone; and what happens when one can't be made."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from bench.common import placement, server
from bench.common.processes import ROOT, BenchError, MeasuredProcess
from bench.peers import command, measure, serving
from bench.peers.contenders import OURS, THROUGHPUT, WAITING, Contender
from bench.peers.kinds import KINDS
from bench.peers.measure import PeersSizes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = PeersSizes(jobs=300, push_s=0.3, trickled=5, waiting=200)


@pytest.fixture(scope="module")
def redis() -> Iterator[server.BenchServer]:
    """The server that a run starts."""
    with server.running("valkey") as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is read at once, and a quick round is smaller still."""
    monkeypatch.setattr(server, "_REST_S", 0.1)
    monkeypatch.setattr(measure, "_SETTLE_S", 0.1)
    monkeypatch.setattr(measure, "_CONNECTIONS", 4)
    monkeypatch.setattr(command, "QUICK", SMALL)


@pytest.mark.parametrize("name", ["waiting", "resident"])
def test_memory_is_measured(redis: server.BenchServer, name: str) -> None:
    [ours] = [one for one in KINDS[name].contenders if one.library == OURS]
    figures = KINDS[name].measure(ours, redis, SMALL)
    assert redis.version.startswith("Valkey ")
    assert all(figure > 0 for figure in figures.values())


def test_waiting_jobs_take_memory_by_the_job(redis: server.BenchServer) -> None:
    """The functions' own memory is in it, and counts less the more jobs there are. A job is a key; few others are."""
    few, many = (measure.waiting(WAITING[0], redis, PeersSizes(0, 0.0, 0, waiting=jobs))["MB"] for jobs in (500, 5_000))
    assert few > many > 5
    assert 5_001 <= redis.client.dbsize() < 5_010


def test_memory_of_a_worker_is_that_of_all_its_processes() -> None:
    program = (
        "import json, subprocess, sys; child = subprocess.Popen([sys.executable, '-c', "
        "'kept = bytearray(50_000_000); print(flush=True); import time; time.sleep(600)'], stdout=subprocess.PIPE); "
        "child.stdout.readline(); print(json.dumps({'child': child.pid}), flush=True); sys.stdin.read()"
    )
    with MeasuredProcess([sys.executable, "-c", program], {}) as process:
        process.message(60)
        assert 50e6 < process.resident_bytes() < 500e6


def test_worker_that_ends_is_an_error(redis: server.BenchServer) -> None:
    broken = Contender("broken", OURS, THROUGHPUT[0].arguments, {"CONCURRENCY": "many"})
    with pytest.raises(BenchError, match=r"work.*ended too early|fill.*failed"):
        measure.jobs(broken, redis, SMALL)


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


def test_process_leaves_no_child_behind() -> None:
    program = (
        "import json, subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True); "
        "print(json.dumps({'child': child.pid}), flush=True); sys.stdin.read()"
    )
    with MeasuredProcess([sys.executable, "-c", program], {}) as process:
        child = psutil.Process(process.message(60)["child"])
    with contextlib.suppress(psutil.TimeoutExpired):
        child.wait(60)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_process_runs_where_it_is_placed() -> None:
    program = "import json, os; print(json.dumps({'cores': sorted(os.sched_getaffinity(0))}))"
    with MeasuredProcess([sys.executable, "-c", program], {}, placement.MEASURED) as process:
        assert process.message(60)["cores"] == sorted(placement.MEASURED)


def test_settings_of_the_user_do_not_reach_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_NAME", "users")
    program = "import json, os; print(json.dumps({'seen': 'QUEUE_NAME' in os.environ}))"
    with MeasuredProcess([sys.executable, "-c", program], {}) as process:
        assert process.message(60)["seen"] is False


def peers(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["bench peers", *arguments])
    command.main()


def test_unknown_server_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="bench: there is no program 'nothing-of-that-name'"):
        peers(monkeypatch, "--against", str(ROOT), "--server", "nothing-of-that-name")


def test_folder_that_is_no_checkout_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is no checkout of this project: it has no folder gateway"):
        peers(monkeypatch, "--against", str(tmp_path))


@pytest.mark.slow
def test_other_checkout_is_measured_beside_this_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    kinds = {"jobs": 2, "pushes": 6, "latency": 2}
    peers(monkeypatch, "--quick", "--only", *kinds, "--against", str(ROOT), "--json", str(file))
    said = capsys.readouterr().out
    assert "leadtime (100 at once) of the other checkout" in said
    assert "gateway of the other checkout" in said
    assert "bare endpoint" not in said
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["versions"][OURS]["arq"]
    for kind, contenders in kinds.items():
        assert len(document[kind]) == contenders
        assert all(len(rounds) == 1 for rounds in document[kind].values())
        assert all(next(iter(one.values())) > 0 for rounds in document[kind].values() for one in rounds)


def test_endpoint_that_does_nothing_is_measured_too(redis: server.BenchServer) -> None:
    [bare] = [one for one in KINDS["pushes"].contenders if one.library == "bare"]
    assert measure.pushes(bare, redis, SMALL)["pushes/s"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["noop-1", "20ms-16", "batched"])
def test_a_served_model_is_measured(redis: server.BenchServer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(serving, "_INPUTS", 20)
    [ours] = [one for one in KINDS[name].contenders if one.library == OURS]

    figures = KINDS[name].measure(ours, redis, SMALL)

    assert figures["requests/s"] > 0
    assert figures["p99 ms"] >= figures["p50 ms"] > (20 if name == "20ms-16" else 0)

"""One small measurement of each kind, of this project alone; and what happens when one can't be made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from bench import gateways, placement, server, throughput, workers
from bench.contenders import OURS, Contender
from bench.processes import BenchError, Process
from bench.report import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = Contender(OURS, "10 at once", {"CONCURRENCY": "10"}, share=1.0)


@pytest.fixture(scope="module")
def redis() -> Iterator[server.Server]:
    """The server that a run starts."""
    with server.running("valkey") as running:
        yield running


def test_one_round(redis: server.Server) -> None:
    run = Run(1, redis.version)
    sizes = throughput.Sizes(jobs=300, push_s=0.5, trickled=5, connections=4, rate=50.0)
    throughput.measure(run, redis, sizes, [SMALL], [SMALL], [gateways.GATEWAY, gateways.BARE])
    assert run.server.startswith("Valkey ")
    assert run.jobs[SMALL][0].rate > 0
    assert {name for name, found in run.pushes.items() if found[0].rate > 0} == {gateways.GATEWAY, gateways.BARE}
    assert len(run.latencies_s[SMALL][0]) == 5
    assert all(latency_s > 0 for latency_s in run.latencies_s[SMALL][0])


def test_worker_that_ends_is_an_error(redis: server.Server) -> None:
    with pytest.raises(BenchError, match=r"work.*ended too early|fill.*failed"):
        workers.throughput(Contender(OURS, "", {"CONCURRENCY": "many"}, share=1.0), redis, 100)


def test_error_shows_what_the_process_said() -> None:
    program = "import sys; print('no message'); sys.exit('out of luck')"
    with (
        Process([sys.executable, "-c", program], {}) as process,
        pytest.raises(BenchError, match=r"(?s)exit code 1.*out of luck"),
    ):
        process.message(60)


def test_process_that_says_nothing_is_stopped() -> None:
    with Process([sys.executable, "-c", "import time; time.sleep(600)"], {}) as process:
        with pytest.raises(BenchError, match="no answer in time"):
            process.message(0.1)
        assert process.running
    assert not process.running


def test_process_runs_where_it_is_placed() -> None:
    program = "import json, os; print(json.dumps({'cores': sorted(os.sched_getaffinity(0))}))"
    with Process([sys.executable, "-c", program], {}, placement.MEASURED) as process:
        assert process.message(60)["cores"] == sorted(placement.MEASURED)


def test_settings_of_the_user_do_not_reach_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_NAME", "users")
    program = "import json, os; print(json.dumps({'seen': 'QUEUE_NAME' in os.environ}))"
    with Process([sys.executable, "-c", program], {}) as process:
        assert process.message(60)["seen"] is False


def test_unknown_server() -> None:
    with pytest.raises(BenchError, match="no program 'nothing-of-that-name'"), server.running("nothing-of-that-name"):
        pass


def test_failed_measurement_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "pushes", "--server", "nothing-of-that-name"])
    with pytest.raises(SystemExit, match="bench: there is no program"):
        throughput.main()

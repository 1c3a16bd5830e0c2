"""`WORKERS=auto` of the README's run command: workers come and go with the jobs, on real processes."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.deploy.local.old_client import ask
from tests.deploy.local.service import RunCommand
from tests.processes import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

pytestmark = pytest.mark.fault

# A start takes a moment and late jobs cost little, so that idle workers go within seconds.
QUICK = {
    "WORKERS": "auto",
    "MAX_REPLICAS": "2",
    "MODEL_SETUP_S": "0.5",
    "SERVICE_GUESS_S": "0.1",
    "STARTUP_GUESS_S": "2",
    "LATE_COST": "0.1",
}


def workers(service: RunCommand) -> list[psutil.Process]:
    """The processes that run `python -m workers`."""
    return service.parts("workers")


def until_workers(service: RunCommand, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(workers(service)) != count:
        assert time.monotonic() < deadline, service.text
        time.sleep(0.05)


def push_and_wait(service: RunCommand, count: int) -> None:
    ids = [ask(f"{service.base}/push?input=hello{n}", "POST")["id"] for n in range(count)]
    for job_id in ids:
        assert ask(f"{service.base}/status/{job_id}?wait=60")["status"] == "finished"


def test_workers_come_and_go_with_the_jobs(tmp_path: Path) -> None:
    with RunCommand(tmp_path, **QUICK) as service:
        service.wait_for("leadtime | ready: ")
        assert workers(service) == []
        push_and_wait(service, 6)
        assert re.search(r"leadtime \| workers 0 -> [12]: \d+ waiting", service.text)
        service.wait_for("worker-1 | ", "ready: predict")
        until_workers(service, 0)
        assert re.search(r"leadtime \| workers [12] -> 0: ", service.text)
        service.wait_for("worker-1 | ", "stopping on SIGTERM: 0 jobs running")
        # What has been learnt of starts survives a restart.
        push_and_wait(service, 1)
        assert service.interrupt() == 0
        assert "worker-3" not in service.text
        assert "Traceback" not in service.text
    with RunCommand(tmp_path, **QUICK) as service:
        service.wait_for("leadtime | ready: ")
        push_and_wait(service, 1)
        assert "starting anew" not in service.text
        assert service.interrupt() == 0


@pytest.mark.slow
def test_busy_worker_stays_and_the_idle_one_goes(tmp_path: Path) -> None:
    with RunCommand(tmp_path, **QUICK | {"MIN_REPLICAS": "1", "SERVICE_GUESS_S": "5"}) as service:
        service.wait_for("worker-1 | ", "ready: predict")
        long = ask(f"{service.base}/push", "POST", {"service_s": 600})["id"]
        while ask(f"{service.base}/status/{long}")["status"] == "queued":
            time.sleep(0.05)
        push_and_wait(service, 4)
        service.wait_for("worker-2 | ", "stopping on SIGTERM: 0 jobs running")
        until_workers(service, 1)
        assert ask(f"{service.base}/status/{long}")["status"] == "processing"
        assert "worker-1 | stopping" not in service.text


@pytest.mark.slow
def test_dead_worker_is_replaced(tmp_path: Path) -> None:
    with RunCommand(tmp_path, **QUICK | {"MIN_REPLICAS": "1", "MAX_REPLICAS": "1"}) as service:
        service.wait_for("worker-1 | ", "ready: predict")
        workers(service)[0].kill()
        service.wait_for("leadtime | worker-1 ended (killed by SIGKILL), no other starts for 0.5 s")
        push_and_wait(service, 1)
        assert service.interrupt() == 0


def test_model_that_is_not_there_stops_all(tmp_path: Path) -> None:
    with RunCommand(tmp_path, **QUICK | {"MODEL": "nowhere:Model", "MIN_REPLICAS": "1"}) as service:
        assert service.reap(PATIENCE_S) == 1
        assert "error: worker-1 can't start (exit code 2: bad setting MODEL: " in service.text

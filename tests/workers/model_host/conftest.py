"""Each test on each kind of event loop, with a model that loads at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import uvloop

from tests.workers.model_host.tools import USUAL, TimeLimit, children, open_fds
from workers.model_host import backoff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.workers.model_host.tools import Run


# A worker runs on uvloop. Who runs one in a loop of their own may have asyncio's.
LOOPS = [pytest.param(asyncio.new_event_loop, marks=pytest.mark.slow), uvloop.new_event_loop]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine, once on each kind of loop; afterwards no process and no file descriptor is left."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        runner.run(asyncio.sleep(0))  # the first loop of a kind opens what stays open
    before = children(), open_fds()
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run
    # What an earlier test left to the garbage collector may have gone meanwhile; nothing may have come.
    assert (children() - before[0], open_fds() - before[1]) == (set(), set())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_SETUP_S", "0")
    monkeypatch.setenv("MODEL_PREDICT_S", "0")
    monkeypatch.setattr(backoff, "BACKOFF_S", 0.05)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> TimeLimit:
    """For jobs and checks with `timeout_s=TimeLimit.SECONDS`."""
    return TimeLimit(monkeypatch)


# Tests in `forks` are of forks alone; that all else holds for them as well is for the slow suite.
KINDS = [False, pytest.param(True, marks=pytest.mark.slow)]


@pytest.fixture(params=KINDS, ids=["started", "forked"])
def is_forked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The test runs with processes of each kind."""
    monkeypatch.setitem(USUAL, "is_forked", request.param)
    return bool(request.param)

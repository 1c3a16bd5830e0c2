"""Fixtures: a real server for the whole run, a queue of its own for every test."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.objects import S3Server
from tests.processes import ROOT
from tests.queues import opened, queue_name
from tests.servers import Server, server_binaries, server_kinds
from workers.stream import StreamSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator
    from pathlib import Path

    from workers.stream import Stream


# A model's process is forked from one that may have served gRPC in an earlier test: no words about that on stderr.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# Folders with the tests of what coverage is measured of.
MEASURED = ("gateway", "workers")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--all`."""
    parser.addoption("--all", action="store_true", help="the tests marked `slow`, too")


def pytest_configure(config: pytest.Config) -> None:
    """Takes `not slow` out of pyproject.toml's choice of tests if all are wanted."""
    if config.option.all:
        config.option.markexpr = config.option.markexpr.replace(" and not slow", "")
    if config.getoption("--hypothesis-profile") is None:
        # The same examples in each run, so that no change is refused for what another one did. Of Hypothesis' usual
        # number, half with `--all`, and a quarter without. With `--hypothesis-profile default` they are new ones.
        # How long an example takes is the machine's affair.
        hypothesis.settings.register_profile(
            "same",
            max_examples=50 if config.option.all else 25,
            derandomize=True,
            deadline=None,
            suppress_health_check=[hypothesis.HealthCheck.too_slow],
        )
        hypothesis.settings.load_profile("same")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Has coverage measure each process of pytest-xdist once, and not for a second time as a process of a test."""
    if session.config.getoption("numprocesses", None):
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves the slow ones out of the coverage: they would take twice as long, and say nothing more of it."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("no_cover")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Traces no slow test. pytest-cov starts a second time in a process of pytest-xdist, and pauses only that one."""
    if not item.get_closest_marker("no_cover"):
        return (yield)
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


@pytest.fixture(autouse=True)
def unmeasured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves processes that a test of the whole service starts out of the coverage: each would need as long again."""
    if request.path.relative_to(ROOT / "tests").parts[0] not in MEASURED or request.node.get_closest_marker("slow"):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(scope="session", params=server_kinds())
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server: every test that uses it runs once against each kind there is."""
    server = Server(server_binaries()[request.param], tmp_path_factory.mktemp(request.param))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running Valkey, for tests of which one kind of server is enough."""
    server = Server(server_binaries()["valkey"], tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running S3, started when the first test asks for it. Only slow ones do: it takes seconds."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=server_kinds())
def start_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server of the test's own with the given options, of each kind there is; ends it after the test."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(server_binaries()[request.param], tmp_path, *options))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def lease_s(request: pytest.FixtureRequest) -> float:
    """The lease of the test's queue: it never runs out, unless the mark `lease_s` makes it short."""
    mark = request.node.get_closest_marker("lease_s")
    return float(mark.args[0]) if mark else 60.0


@pytest.fixture
def settings(server: Server, lease_s: float) -> StreamSettings:
    """A queue of the test's own."""
    return StreamSettings(redis_url=server.url, queue_name=queue_name(), lease_s=lease_s, redis_timeout_s=10)


@pytest.fixture
async def stream(settings: StreamSettings) -> AsyncIterator[Stream]:
    """An open stream."""
    async with opened(settings) as stream:
        yield stream

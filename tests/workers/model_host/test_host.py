"""The model's processes: results, crashes, stops. All on real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import psutil
import pytest
import uvloop

from workers.model_host import host as host_module
from workers.model_host.errors import ModelCrashed, ModelLoadFailed, ModelNotFound, ModelRaised
from workers.model_host.host import ModelHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    Run = Callable[[Coroutine[Any, Any, None]], None]

SCRIPTED = "tests.workers.models:Scripted"
MEGABYTE = 1_000_000
PATIENCE_S = 20.0


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine, once on each kind of loop; afterwards no process and no file descriptor is left."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        runner.run(asyncio.sleep(0))  # the first loop of a kind opens what stays open
    before = children(), open_fds()
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run
    assert (children(), open_fds()) == before


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_SETUP_S", "0")
    monkeypatch.setenv("MODEL_PREDICT_S", "0")
    monkeypatch.setattr(host_module, "BACKOFF_S", 0.05)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def open_fds() -> int:
    return psutil.Process().num_fds()


def make(
    model: str = SCRIPTED,
    size: int = 1,
    *,
    load_timeout_s: float = PATIENCE_S,
    memory_limit_bytes: int = 0,
    max_result_bytes: int = MEGABYTE,
    on_loaded: Callable[[int], None] = lambda _count: None,
    on_load_s: Callable[[float], None] = lambda _seconds: None,
) -> ModelHost:
    return ModelHost(
        model,
        size,
        load_timeout_s=load_timeout_s,
        memory_limit_bytes=memory_limit_bytes,
        max_result_bytes=max_result_bytes,
        on_loaded=on_loaded,
        on_load_s=on_load_s,
    )


@contextlib.asynccontextmanager
async def running(host: ModelHost) -> AsyncIterator[ModelHost]:
    """`host` with its processes loaded; then stopped, with none left."""
    before = children()
    task = asyncio.create_task(host.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await host.loaded()
        yield host
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert host.count == 0
        assert children() == before


async def do(host: ModelHost, *script: Any) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return orjson.loads(await host.predict(orjson.dumps(script)))


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    """Neither running nor a zombie of ours."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE and process.ppid() != os.getpid()
    except psutil.NoSuchProcess:
        return True


async def told(file: Path) -> int:
    await eventually(file.exists)
    return int(file.read_text())


def test_toy_model_answers_with_its_uuid_and_the_input(run: Run) -> None:
    async def scenario() -> None:
        async with running(make("workers.model:Model")) as host:
            first = orjson.loads(await host.predict(b'{"text":"hello"}'))
            second = orjson.loads(await host.predict(b'"x"'))
        assert first["input"] == {"text": "hello"}
        assert second["input"] == "x"
        words = first["output"].split()
        assert words[0] == "model"
        assert len(words[1]) == 36
        assert "hello" in first["output"]
        assert words[1] in second["output"]  # one instance

    run(scenario())


@pytest.mark.parametrize("value", [None, 0, "ä\U0001f600", [], {"a": [1.5, {"b": None}]}, "x" * 900_000])
def test_any_json_goes_in_and_out(run: Run, value: Any) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            assert await do(host, "echo", value) == value

    run(scenario())


def test_input_larger_than_the_socket_holds(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(max_result_bytes=40 * MEGABYTE)) as host:
            value = "x" * 20 * MEGABYTE
            assert await do(host, "echo", value) == value

    run(scenario())


def test_environment_of_the_process(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            found = await do(host, "environment")
        assert found["cwd"] == str(Path.cwd())
        assert found["path"] == sys.path
        assert found["session"] == found["pid"] != os.getsid(0)
        assert found["ignores_sigint"]
        assert found["oom_score_adj"] in {"1000", None}

    run(scenario())


def test_error_of_the_model_leaves_its_process_alive(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised, match=r"^LookupError: no such thing$") as error:
                await do(host, "fail", "no such thing")
            assert (error.value.type, error.value.message) == ("LookupError", "no such thing")
            with pytest.raises(ModelRaised) as error:
                await do(host, "fail", "ä" * 100_000)
            assert error.value.message == "ä" * 2000
            with pytest.raises(ModelRaised) as error:
                await do(host, "fail_oddly")
            assert error.value.type == "Odd"
            with pytest.raises(ModelRaised, match="JSONDecodeError"):
                await host.predict(b"{")
            assert await do(host, "pid") == pid

    run(scenario())


def test_result_that_cannot_be_handed_on(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(max_result_bytes=1000)) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelRaised, match="predict returned a set that can't be written as JSON") as error:
                await do(host, "no_json")
            assert error.value.type == "TypeError"
            with pytest.raises(ModelRaised, match="the result is 1001 bytes of JSON, 1000 are allowed") as error:
                await do(host, "long", 999)
            assert error.value.type == "ResultTooLarge"
            assert await do(host, "long", 998) == "x" * 998
            assert await do(host, "pid") == pid

    run(scenario())


@pytest.mark.parametrize(
    ("script", "how"),
    [
        (["leave", 3], "exited with code 3"),
        (["leave_at_once", 4], "exited with code 4"),
        (["segfault"], "was killed by SIGSEGV"),
        (["garble"], "broke the protocol"),
        (["close_all"], "closed its connection"),
    ],
)
def test_crash_fails_one_job(run: Run, script: list[Any], how: str) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(on_loaded=counts.append)) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelCrashed, match=f"^the model's process {how}$"):
                await do(host, *script)
            assert gone(pid)
            assert counts == [1, 0]
            assert host.count == 0
            assert await do(host, "pid") != pid
            assert counts == [1, 0, 1]
        assert counts == [1, 0, 1, 0]

    run(scenario())


def test_killed_from_outside(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            job = asyncio.create_task(do(host, "hang", str(tmp_path / "pid")))
            os.kill(await told(tmp_path / "pid"), signal.SIGKILL)
            with pytest.raises(ModelCrashed, match="was killed by SIGKILL"):
                await job
            pid = await do(host, "pid")
            os.kill(pid, signal.SIGKILL)  # while idle
            await eventually(lambda: host.count == 0)
            assert await do(host, "pid") != pid

    run(scenario())


def test_crash_takes_along_what_the_model_started(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            with pytest.raises(ModelCrashed, match="exited with code 7"):
                await do(host, "crash_beside_child", str(tmp_path / "pid"))
            pid = await told(tmp_path / "pid")
            await eventually(lambda: gone(pid))

    run(scenario())


def test_loop_goes_on_while_the_model_holds_the_gil(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            job = asyncio.create_task(do(host, "spin", 1.0))
            beats = 0
            while not job.done():
                await asyncio.sleep(0.01)
                beats += 1
            assert await job == "span"
            assert beats > 20

    run(scenario())


@pytest.mark.parametrize("script", ["hang", "hang_with_child"])
def test_cancel_kills_the_process(run: Run, tmp_path: Path, script: str) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(on_loaded=counts.append)) as host:
            model = await do(host, "pid")
            job = asyncio.create_task(do(host, script, str(tmp_path / "pid")))
            pid = await told(tmp_path / "pid")
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            assert gone(model)
            assert counts == [1, 0]
            await eventually(lambda: gone(pid))
            assert await do(host, "pid") != model
            assert counts == [1, 0, 1]

    run(scenario())


def test_cancelled_twice_still_waits_for_the_end(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            job = asyncio.create_task(do(host, "hang", str(tmp_path / "pid")))
            pid = await told(tmp_path / "pid")
            for _ in range(3):
                job.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await job
            assert gone(pid)

    run(scenario())


def test_cancel_while_sending(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            job = asyncio.create_task(host.predict(orjson.dumps(["long", "x" * 50 * MEGABYTE])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            assert gone(pid)
            assert await do(host, "pid") != pid

    run(scenario())


def test_cancel_of_a_waiting_job_kills_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            pid = await do(host, "pid")
            first = asyncio.create_task(do(host, "spin", 0.3))
            await asyncio.sleep(0)
            waiting = asyncio.create_task(do(host, "pid"))
            last = asyncio.create_task(do(host, "pid"))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await first == "span"
            assert await last == pid

    run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS binds on Linux only")
def test_memory_limit(run: Run) -> None:
    async def scenario() -> None:
        limit = 600 * MEGABYTE
        async with running(make(memory_limit_bytes=limit)) as host:
            pid = await do(host, "pid")
            with pytest.raises(ModelCrashed, match=rf"ran out of memory \(limit {limit} bytes\)"):
                await do(host, "eat")
            assert gone(pid)
            assert await do(host, "pid") != pid

    run(scenario())


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("tests.workers.models:Unloadable", "ValueError: no weights here"),
        ("tests.workers.models:Exits", "the model's process exited with code 9"),
    ],
)
def test_model_that_does_not_load(run: Run, model: str, reason: str) -> None:
    async def scenario() -> None:
        host = make(model)
        with pytest.raises(ModelLoadFailed, match=f"^the model {model} could not be loaded: {reason}$"):
            await host.run()
        with pytest.raises(ModelCrashed, match="have been stopped"):
            await host.predict(b"1")

    run(scenario())


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("tests.workers.models:NoPredict", "tests.workers.models:NoPredict has no method predict"),
        ("tests.workers.models:Missing", "AttributeError: .*has no attribute 'Missing'"),
        ("tests.workers.models:SCALAR", "tests.workers.models:SCALAR is no class"),
        ("tests.workers.unimportable:X", r"ModuleNotFoundError: No module named '.*' \(.*unimportable.py, line 3\)"),
        ("no.such.module:Model", "ModuleNotFoundError: No module named 'no'"),
    ],
)
def test_model_that_is_not_there_is_not_tried_again(
    run: Run, capfd: pytest.CaptureFixture[str], model: str, reason: str
) -> None:
    loads: list[float] = []

    async def scenario() -> None:
        host = make(model, on_load_s=loads.append)
        with pytest.raises(ModelNotFound, match=f"^the model {model} could not be loaded: {reason}$"):
            await host.run()

    run(scenario())
    assert loads == []
    assert capfd.readouterr().err == ""  # no traceback


def test_load_times_are_told(run: Run) -> None:
    async def scenario() -> None:
        loads: list[float] = []
        async with running(make(on_load_s=loads.append)) as host:
            with pytest.raises(ModelCrashed):
                await do(host, "leave_at_once", 1)
            await do(host, "pid")
        assert len(loads) == 2
        assert min(loads) > 0

    run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS binds on Linux only")
def test_memory_limit_while_loading(run: Run) -> None:
    async def scenario() -> None:
        host = make("tests.workers.models:Greedy", memory_limit_bytes=600 * MEGABYTE)
        with pytest.raises(ModelLoadFailed, match=r"ran out of memory \(limit 600000000 bytes\)$"):
            await host.run()

    run(scenario())


def test_load_timeout(run: Run) -> None:
    async def scenario() -> None:
        host = make("tests.workers.models:Hangs", load_timeout_s=0.3)
        with pytest.raises(ModelLoadFailed, match=r"it took longer than 0\.3 s$"):
            await host.run()

    run(scenario())


def test_one_failure_to_load_is_forgiven(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAKY_FILE", str(tmp_path / "flaky"))

    async def scenario() -> None:
        async with running(make("tests.workers.models:Flaky")) as host:
            assert await do(host, "echo", 1) == 1

    run(scenario())


def test_no_process_can_be_started(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    async def scenario() -> None:
        with pytest.raises(ModelLoadFailed, match="could not be started: "):
            await make().run()

    run(scenario())


def test_prints_go_to_the_log(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with running(make()) as host:
            assert await do(host, "chat") == "said"
            with pytest.raises(ModelRaised):
                await do(host, "fail", "told in the log")
            assert await do(host, "echo", 1) == 1

    run(scenario())
    out, err = capfd.readouterr()
    assert out.count("\x00\x00\x00\x01R") == 1001
    assert "LookupError: told in the log" in err


def test_two_at_once(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        counts: list[int] = []
        async with running(make(size=2, on_loaded=counts.append)) as host:
            await eventually(lambda: host.count == 2)
            jobs = [asyncio.create_task(do(host, "hang", str(tmp_path / name))) for name in "ab"]
            pids = {await told(tmp_path / name) for name in "ab"}
            assert len(pids) == 2
            jobs[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await jobs[0]
            assert sum(map(gone, pids)) == 1
            assert counts == [1, 2, 1]
            assert await do(host, "pid") not in pids
            assert not jobs[1].done()
        with pytest.raises(ModelCrashed, match="was stopped"):
            await jobs[1]
        assert all(map(gone, pids))

    run(scenario())


@pytest.mark.parametrize("delay_s", [0, 0.002, 0.03, 0.2])
def test_stop_while_starting(run: Run, delay_s: float) -> None:
    async def scenario() -> None:
        before = children()
        task = asyncio.create_task(make("tests.workers.models:Hangs", 3).run())
        await asyncio.sleep(delay_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert children() == before

    run(scenario())


def test_loop_that_ends_first_leaves_nothing(run: Run) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def scenario() -> None:
        host = make(size=2)
        tasks.append(asyncio.create_task(host.run()))
        await host.loaded()
        tasks.append(asyncio.create_task(do(host, "spin", 60)))
        await asyncio.sleep(0.05)

    run(scenario())  # the fixture looks for processes once the loop is closed


def test_many_replacements_leak_nothing(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(size=2)) as host:
            await eventually(lambda: host.count == 2)
            before = open_fds()
            for _ in range(15):
                with pytest.raises(ModelCrashed):
                    await do(host, "leave_at_once", 1)
            await eventually(lambda: host.count == 2)
            assert open_fds() == before

    run(scenario())


PARENT = """
import asyncio, sys
from workers.model_host.host import ModelHost

async def main():
    host = ModelHost("tests.workers.models:Scripted", 1, load_timeout_s=20, memory_limit_bytes=0,
                     max_result_bytes=1000, on_loaded=lambda n: None)
    task = asyncio.create_task(host.run())
    await host.loaded()
    print((await host.predict(b'["pid"]')).decode(), flush=True)
    await host.predict(b'["spin", 600]')

asyncio.run(main())
"""


def test_process_dies_with_its_parent() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    deadline = time.monotonic() + PATIENCE_S
    while not gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)

"""Jobs that are run in one call of `predict_batch`: each ends as it should, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.workers.model_host.tools import MEGABYTE, ONE_LOOP, at_once, do, eventually, gone, make, running, told
from workers.model_host.errors import InputInvalid, ModelAskedAgain, ModelCrashed, ModelRaised, ModelTimedOut
from workers.model_host.protocol.job_at_hand import JobAtHand
from workers.stream import Claimed
from workers.telemetry.log_job import job_of, log_as
from workers.wire.decode import loads

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run, TimeLimit
    from workers.model_host.host import ModelHost

pytestmark = ONE_LOOP

MODELS = "tests.workers.model_host.together"
TOGETHER = f"{MODELS}:Together"
COUNT = ["count"]


def described(outcomes: list[Any]) -> list[Any]:
    """Exceptions by their messages."""
    return [str(outcome) if isinstance(outcome, Exception) else outcome for outcome in outcomes]


@pytest.mark.usefixtures("is_forked")
def test_what_fails_in_the_place_of_a_result_fails_that_job_alone(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            pid = await do(host, "pid")
            found = await at_once(host, COUNT, ["fail", "this one"], ["ask_again", 7], ["echo", "the last"])
            assert [found[0], found[3]] == [4, "the last"]
            assert isinstance(found[1], ModelRaised)
            assert (found[1].type, found[1].message) == ("LookupError", "this one")
            assert isinstance(found[2], ModelAskedAgain)
            assert found[2].defer_ms == 7000
            found = await at_once(host, ["no_json"], ["long", MEGABYTE], COUNT)
            assert found[2] == 3
            assert [error.type for error in found[:2]] == ["TypeError", "ResultTooLarge"]
            assert await do(host, "pid") == pid

    run(scenario())


def test_a_job_for_which_the_model_is_broken_ends_the_process_and_not_the_others(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            pid = await do(host, "pid")
            first, broken, last = await at_once(host, COUNT, ["break_down", "no device"], ["echo", "the last"])
            assert (first, last) == (3, "the last")
            assert isinstance(broken, ModelCrashed)
            assert str(broken) == "the model's process said that it is broken: no device"
            assert gone(pid)
            assert await do(host, "pid") != pid

    run(scenario())


def test_an_input_that_does_not_fit_fails_alone_before_the_call(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:Doubles")) as host:
            found = await at_once(host, 1, "two", "3", None, 10**30)
            assert [found[0], found[2], found[4]] == [2, 6, 2 * 10**30]
            for error in (found[1], found[3]):
                assert isinstance(error, InputInvalid)
                assert str(error).startswith("InvalidInput: the input: Input should be a valid integer")
            found = await at_once(host, "one", "two")
            assert all(isinstance(error, InputInvalid) for error in found)
            with pytest.raises(InputInvalid):
                await host.predict(b'"one"')

    run(scenario())


@pytest.mark.parametrize("is_forked", [True], indirect=True, ids=["forked"])
@pytest.mark.parametrize(
    ("poison", "says"),
    [
        (["call_fails", "poisoned"], "LookupError: poisoned"),
        (["call_dies"], "the model's process was killed by SIGKILL"),
        (["call_exits", "enough"], "the model's process exited with code 1: enough"),
        (["call_returns", [1, 2, 3]], "ValueError: predict_batch returned 3 results for 1 inputs: it must return one"),
        (["call_returns", []], "ValueError: predict_batch returned 0 results for 1 inputs"),
        (["call_returns", "four"], "TypeError: predict_batch returned a str, not a list of results"),
        (["call_returns", {"a": 1}], "TypeError: predict_batch returned a dict, not a list of results"),
        (["call_returns", None], "TypeError: predict_batch returned a NoneType, not a list of results"),
    ],
)
def test_a_call_that_fails_as_a_whole_is_run_again_one_by_one(
    run: Run, poison: Any, says: str, is_forked: bool
) -> None:
    assert is_forked

    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            found = described(await at_once(host, ["echo", "a"], poison, COUNT, ["fail", "d"]))
            assert says in found.pop(1)
            assert found == ["a", 1, "LookupError: d"]
            assert await at_once(host, COUNT, COUNT) == [2, 2]

    run(scenario())


class AboutLines(logging.Handler):
    """The lines of the batches and their processes, each with the job that it is about."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str | None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        job = job_of(record, "q")
        self.lines.append((record.getMessage(), job and job.id))


def test_the_line_of_a_failed_batch_is_about_none_of_its_jobs(run: Run) -> None:
    async def predict(host: ModelHost, job_id: str, *script: str) -> bytes:
        log_as(Claimed(job_id, "1-1", "predict", b"", b"", 1, 0))
        return await host.predict(orjson.dumps(script))

    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            calls = [predict(host, "job-1", "echo", "a"), predict(host, "job-2", "call_dies")]
            await asyncio.gather(*(asyncio.create_task(call) for call in calls), return_exceptions=True)

    named, logger = AboutLines(), logging.getLogger("workers.model_host")
    logger.addHandler(named)
    try:
        run(scenario())
    finally:
        logger.removeHandler(named)
    [of_batch] = [job for line, job in named.lines if line.startswith("a batch of 2 jobs failed")]
    assert of_batch is None


@pytest.mark.usefixtures("is_forked")
def test_a_call_that_takes_too_long_is_run_again_one_by_one(run: Run, tmp_path: Path, limit: TimeLimit) -> None:
    async def scenario() -> None:
        file = tmp_path / "pid"
        async with running(make(TOGETHER)) as host:
            slow = ["call_hangs", str(file)]
            ending = asyncio.create_task(at_once(host, ["echo", "a"], slow, COUNT, timeout_s=limit.SECONDS))
            for _ in range(2):  # the call, and the job alone
                pid = await told(file)
                file.unlink()
                limit.end()
            first, error, last = await ending
            assert (first, last) == ("a", 1)
            assert isinstance(error, ModelTimedOut)
            assert str(error) == "the model took longer than 4242 s, and was stopped"
            assert gone(pid)
            assert await at_once(host, COUNT, COUNT) == [2, 2]

    run(scenario())


def test_a_cancel_of_one_job_leaves_the_call_to_the_others(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        file, until = tmp_path / "pid", tmp_path / "until"
        rooms: list[int] = []
        async with running(make(TOGETHER, on_room=rooms.append)) as host:
            waits = orjson.dumps(["call_waits", str(file), str(until)])
            tasks = [asyncio.create_task(host.predict(waits)) for _ in range(3)]
            reads = asyncio.create_task(host.predict(waits, job=JobAtHand("job-3", takes_files=True)))
            pid = await told(file)
            await eventually(lambda: rooms == [4])
            tasks[1].cancel()
            reads.cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[1]
            await eventually(lambda: rooms[-1] == 2)
            assert not reads.done(), "the model may be reading its files"
            until.touch()
            assert [await tasks[0], await tasks[2]] == [b"4", b"4"]
            await asyncio.wait([reads])
            assert reads.cancelled()
            assert await do(host, "pid") == pid
            await eventually(lambda: rooms[-1] == 4)

    run(scenario())


def test_a_cancel_of_all_jobs_ends_the_process(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "pid"
        async with running(make(TOGETHER)) as host:
            hangs = orjson.dumps(["call_hangs", str(file)])
            tasks = [asyncio.create_task(host.predict(hangs)) for _ in range(4)]
            waits = asyncio.create_task(host.predict(b'["count"]'))
            pid = await told(file)
            tasks[0].cancel()
            await asyncio.wait([tasks[0]])
            assert not gone(pid)
            for task in tasks[1:]:
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() for task in tasks)
            assert gone(pid)
            assert await waits == b"1"

    run(scenario())


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_each_job_ends_as_it_should_and_leaves_its_place(run: Run, seed: int, tmp_path: Path) -> None:
    """Jobs come and are cancelled at any time, beside others that fail, crash, hang or break their process."""
    random = Random(seed)
    scripts: dict[str, list[Any]] = {
        "a result": ["echo"],
        "fails": ["fail", "as it should"],
        "is broken": ["break_down", "as it should"],
        "fails all": ["call_fails", "as it should"],
        "dies": ["call_dies"],
        "hangs": ["call_hangs", str(tmp_path / "pid")],
    }
    expected = {
        "fails": ModelRaised,
        "is broken": ModelCrashed,
        "fails all": ModelRaised,
        "dies": ModelCrashed,
        "hangs": ModelTimedOut,
    }

    async def one(host: ModelHost, number: int) -> None:
        (kind,) = random.choices(list(scripts), [80, 8, 2, 5, 3, 2])
        script = [*scripts[kind], number] if kind == "a result" else scripts[kind]
        await asyncio.sleep(random.uniform(0, 0.5))
        task = asyncio.create_task(host.predict(orjson.dumps(script), 0.5))
        if random.random() < 0.2:
            await asyncio.sleep(random.choice([0, random.uniform(0, 0.5)]))
            task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            return
        error = task.exception()
        if kind == "a result":
            # A process that is slow to answer at all, as the machine is busy, may take too long.
            assert type(error) is ModelTimedOut if error else loads(task.result()) == number
        else:
            assert isinstance(error, (expected[kind], ModelTimedOut)), kind

    async def scenario() -> None:
        rooms: list[int] = []
        async with running(make(TOGETHER, size=2, is_forked=True, on_room=rooms.append)) as host:
            async with asyncio.TaskGroup() as group:
                for number in range(120):
                    group.create_task(one(host, number))
            await eventually(lambda: rooms[-1] == 8)
            assert await at_once(host, *[COUNT] * 8) == [4] * 8

    run(scenario())


def test_a_model_that_fails_all_jobs_of_its_batches_is_checked_and_replaced(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:StickyTogether", max_failures=3)) as host:
            pid = await do(host, "pid")
            for _ in range(2):  # inputs that are bad tell nothing of the model
                found = await at_once(host, *[["fail", "a bad input"]] * 4)
                assert all(isinstance(error, ModelRaised) for error in found)
            assert await at_once(host, ["be_broken"], ["pid"]) == [None, pid]
            # Its process fails with an input that was answered before: these are run again in the next one.
            assert await at_once(host, COUNT, COUNT, COUNT) == [1, 1, 1]
            assert gone(pid)
            assert await at_once(host, COUNT, COUNT) == [2, 2]

    run(scenario())

"""Jobs that are run in one call of `predict_batch`: each gets its own outcome, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.workers.model_host.tools import MEGABYTE, ONE_LOOP, PATIENCE_S, do, eventually, gone, make, running, told
from workers.model_host.errors import (
    InputInvalid,
    ModelAskedAgain,
    ModelCrashed,
    ModelNotFound,
    ModelRaised,
    ModelTimedOut,
)
from workers.wire.decode import loads
from workers.wire.encode import encode_exactly

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run
    from workers.model_host.host import ModelHost

pytestmark = ONE_LOOP

MODELS = "tests.workers.model_host.together"
TOGETHER = f"{MODELS}:Together"
COUNT = ["count"]


async def together(host: ModelHost, *scripts: Any, timeout_s: float | None = None) -> list[Any]:
    """What becomes of jobs that come at the same time: results, and exceptions in their places."""
    async with asyncio.timeout(PATIENCE_S):
        calls = [host.predict(encode_exactly(script), timeout_s) for script in scripts]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    return [loads(outcome) if isinstance(outcome, bytes) else outcome for outcome in outcomes]


def described(outcomes: list[Any]) -> list[Any]:
    """Exceptions by their messages."""
    return [str(outcome) if isinstance(outcome, Exception) else outcome for outcome in outcomes]


@pytest.mark.parametrize("model", ["Together", "BothWays", "AsyncTogether"])
def test_each_job_of_a_batch_gets_its_own_result(run: Run, model: str) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:{model}", size=2)) as host:
            assert await together(host, COUNT, ["count", 2], COUNT, COUNT) == [4, 4, 4, 4]
            for count in (2, 3, 4, 7, 23):
                values = [{"number": number, "of": count, "big": 10**30 + number} for number in range(count)]
                assert await together(host, *(["echo", value] for value in values)) == values

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_a_job_that_comes_alone_does_not_wait_for_others(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            assert await do(host, "count") == 1
            assert await do(host, "echo", "a") == "a"
            with pytest.raises(ModelRaised, match="LookupError: no such thing"):
                await do(host, "fail", "no such thing")

    run(scenario())


def test_a_single_job_goes_to_predict_if_there_is_one(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:BothWays")) as host:
            assert await do(host, "count") == ["alone", ["count"]]
            assert await together(host, COUNT, COUNT) == [2, 2]
            assert await together(host, ["call_fails", "all"], COUNT) == [
                ["alone", ["call_fails", "all"]],
                ["alone", COUNT],
            ]

    run(scenario())


def test_a_smaller_batch_waits_for_more_jobs_only_if_the_model_or_the_setting_says_so(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:Unhurried")) as host:
            early = [asyncio.create_task(host.predict(b'["count"]')) for _ in range(3)]
            await asyncio.wait(early, timeout=0.1)
            assert not any(task.done() for task in early)
            assert await do(host, "count") == 4
            assert [await task for task in early] == [b"4"] * 3
        async with running(make(f"{MODELS}:Unhurried", max_batch_wait_s=0)) as host:
            assert await do(host, "count") == 1
        async with running(make(TOGETHER, max_batch_wait_s=0.01)) as host:
            assert await together(host, COUNT, COUNT) == [2, 2]

    run(scenario())


@pytest.mark.parametrize(("size", "sizes"), [(0, [4, 4, 1]), (1, [1] * 9), (2, [2, 2, 2, 2, 1]), (9, [9])])
def test_the_setting_of_the_size_goes_before_the_models_own(run: Run, size: int, sizes: list[int]) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER, max_batch_size=size)) as host:
            assert await together(host, *[COUNT] * 9) == [count for count in sizes for _ in range(count)]

    run(scenario())


def test_a_model_without_a_size_gets_eight_inputs_and_one_without_predict_batch_one(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:Doubles")) as host:
            assert host.batch_size == 8
        async with running(make(max_batch_size=20)) as host:
            assert host.batch_size == 1
            assert await together(host, ["echo", 1], ["echo", 2]) == [1, 2]

    run(scenario())
    assert "MODEL_MAX_BATCH_SIZE has no effect: the model has no method predict_batch" in caplog.text


@pytest.mark.usefixtures("is_forked")
def test_what_fails_in_the_place_of_a_result_fails_that_job_alone(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            pid = await do(host, "pid")
            found = await together(host, COUNT, ["fail", "this one"], ["ask_again", 7], ["echo", "the last"])
            assert [found[0], found[3]] == [4, "the last"]
            assert isinstance(found[1], ModelRaised)
            assert (found[1].type, found[1].message) == ("LookupError", "this one")
            assert isinstance(found[2], ModelAskedAgain)
            assert found[2].defer_ms == 7000
            found = await together(host, ["no_json"], ["long", MEGABYTE], COUNT)
            assert found[2] == 3
            assert [error.type for error in found[:2]] == ["TypeError", "ResultTooLarge"]
            assert await do(host, "pid") == pid

    run(scenario())


def test_results_may_be_as_long_together_as_each_may_be_alone(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            size = MEGABYTE - 2
            assert await together(host, *[["long", size]] * 3, COUNT) == ["x" * size] * 3 + [4]

    run(scenario())


def test_a_job_for_which_the_model_is_broken_ends_the_process_and_not_the_others(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            pid = await do(host, "pid")
            first, broken, last = await together(host, COUNT, ["break_down", "no device"], ["echo", "the last"])
            assert (first, last) == (3, "the last")
            assert isinstance(broken, ModelCrashed)
            assert str(broken) == "the model's process said that it is broken: no device"
            assert gone(pid)
            assert await do(host, "pid") != pid

    run(scenario())


def test_an_input_that_does_not_fit_fails_alone_before_the_call(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:Doubles")) as host:
            found = await together(host, 1, "two", "3", None, 10**30)
            assert [found[0], found[2], found[4]] == [2, 6, 2 * 10**30]
            for error in (found[1], found[3]):
                assert isinstance(error, InputInvalid)
                assert str(error).startswith("InvalidInput: the input: Input should be a valid integer")
            found = await together(host, "one", "two")
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
            found = described(await together(host, ["echo", "a"], poison, COUNT, ["fail", "d"]))
            assert says in found.pop(1)
            assert found == ["a", 1, "LookupError: d"]
            assert await together(host, COUNT, COUNT) == [2, 2]

    run(scenario())


@pytest.mark.usefixtures("is_forked")
def test_a_call_that_takes_too_long_is_run_again_one_by_one(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "pid"
        async with running(make(TOGETHER)) as host:
            slow = ["call_hangs", str(file)]
            first, error, last = await together(host, ["echo", "a"], slow, COUNT, timeout_s=0.5)
            assert (first, last) == ("a", 1)
            assert isinstance(error, ModelTimedOut)
            assert str(error) == "the model took longer than 0.5 s, and its process was stopped"
            assert gone(await told(file))
            assert await together(host, COUNT, COUNT) == [2, 2]

    run(scenario())


def test_a_cancel_of_one_job_leaves_the_call_to_the_others(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        file, until = tmp_path / "pid", tmp_path / "until"
        rooms: list[int] = []
        async with running(make(TOGETHER, on_room=rooms.append)) as host:
            waits = orjson.dumps(["call_waits", str(file), str(until)])
            tasks = [asyncio.create_task(host.predict(waits)) for _ in range(3)]
            pid = await told(file)
            await eventually(lambda: rooms == [4, 3])
            tasks[1].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[1]
            assert rooms == [4, 3, 2]
            until.touch()
            assert [await tasks[0], await tasks[2]] == [b"3", b"3"]
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
            assert await together(host, *[COUNT] * 8) == [4] * 8

    run(scenario())


def test_a_job_that_is_to_be_alone_is_in_no_batch(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER)) as host:
            calls = [host.predict(b'["count"]', alone=number == 2) for number in range(5)]
            assert await asyncio.gather(*calls) == [b"2", b"2", b"1", b"2", b"2"]

    run(scenario())


def test_batches_end_with_their_host(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        file = tmp_path / "pid"
        host = make(TOGETHER)
        async with running(host):
            script = orjson.dumps(["call_hangs", str(file)])
            tasks = [asyncio.create_task(host.predict(script)) for _ in range(2)]
            await told(file)
        for task in tasks:
            with pytest.raises(ModelCrashed, match="the model's process"):
                await task
        with pytest.raises(ModelCrashed, match="have been stopped"):
            await host.predict(script)

    run(scenario())


def test_a_model_that_fails_all_jobs_of_its_batches_is_checked_and_replaced(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(f"{MODELS}:StickyTogether", max_failures=3)) as host:
            pid = await do(host, "pid")
            for _ in range(2):  # inputs that are bad tell nothing of the model
                found = await together(host, *[["fail", "a bad input"]] * 4)
                assert all(isinstance(error, ModelRaised) for error in found)
            assert await together(host, ["be_broken"], ["pid"]) == [None, pid]
            # Its process fails with an input that was answered before: these are run again in the next one.
            assert await together(host, COUNT, COUNT, COUNT) == [1, 1, 1]
            assert gone(pid)
            assert await together(host, COUNT, COUNT) == [2, 2]

    run(scenario())


def test_a_process_has_its_number_of_jobs_also_if_they_come_in_batches(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TOGETHER, max_jobs=4)) as host:
            pid = await do(host, "pid")
            assert await together(host, *[["pid"]] * 4) == [pid] * 4
            assert await do(host, "pid") != pid

    run(scenario())


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("TwoLists", "predict_batch takes one argument, the list of inputs: def predict_batch(self, inputs: list)"),
        ("NoList", "the parameter inputs of predict_batch gets a list of inputs: annotate it with a list"),
        ("WrongSize", "max_batch_size must be a whole number from 1 to 1000, and is 'many'"),
        ("WrongWait", "max_batch_wait_s must be a number of seconds, 0 or more, and is -1"),
    ],
)
def test_what_can_not_be_served_is_said_in_one_sentence(run: Run, model: str, sentence: str) -> None:
    async def scenario() -> None:
        with pytest.raises(ModelNotFound) as error:
            await make(f"{MODELS}:{model}").run()
        assert sentence in str(error.value)

    run(scenario())

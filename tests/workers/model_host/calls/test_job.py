"""The job as a model has it: what it is told, what it tells, and how it stops by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.workers.model_host.tools import ONE_LOOP, PATIENCE_S, at_once, do, eventually, gone, make, running, told
from workers.job import Cancelled, Job, JobTerms, current, reset_current, set_current
from workers.model_host.calls.failures import InputRefused
from workers.model_host.calls.inputs.binding import binder_of
from workers.model_host.calls.inputs.job_parameter import job_parameter_of
from workers.model_host.calls.schemas.describing import described
from workers.model_host.errors import ModelRaised, ModelTimedOut
from workers.model_host.protocol.job_at_hand import JobAtHand

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.workers.model_host.tools import Run, TimeLimit
    from workers.model_host.host import ModelHost

TELLER = "tests.workers.model_host.calls.tellers:Teller"
LONG_S = 30.0


class Heard:
    """A job, and what was heard of it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.job = JobAtHand("the id", 3, lambda kind, value: self.events.append((kind, orjson.loads(value))))

    async def run(self, host: ModelHost, *script: Any, timeout_s: float | None = None) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return orjson.loads(await host.predict(orjson.dumps(script), timeout_s, job=self.job))


async def heard(host: ModelHost, *script: Any) -> tuple[Any, list[tuple[str, Any]]]:
    """The result and the events of a job."""
    one = Heard()
    return await one.run(host, *script), one.events


@ONE_LOOP
@pytest.mark.usefixtures("is_forked")
def test_a_model_knows_its_job_and_tells_of_it(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TELLER)) as host:
            assert await heard(host, "who") == (["the id", 3, None], [])
            assert await Heard().run(host, "who", timeout_s=60.0) == ["the id", 3, True]
            assert (await heard(host, "awaits"))[0] == "the id"
            assert await do(host, "who") == ["", 0, None], "a job that the host knows nothing of"
            assert await do(host, "items", 2) == [0, 1]

            _, events = await heard(host, "report", 0.5, 7, -1)
            told_of = [(0.5, "at 0.5"), (1.0, "at 7"), (0.0, "at -1")]
            assert [value for kind, value in events if kind == "progress"] == [
                {"fraction": fraction, "text": text} for fraction, text in told_of
            ]
            assert [value for kind, value in events if kind == "log"] == ["line 0.5", "line 7", "line -1"]
            with pytest.raises(ModelRaised, match=r"^ValueError: a progress is a number from 0 to 1, not NaN$"):
                await do(host, "not_a_number")

    run(scenario())


@ONE_LOOP
def test_what_a_generator_yields_is_told_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TELLER, max_result_bytes=2_000_000)) as host:
            for script in ("items", "items_async"):
                result, events = await heard(host, script, 3)
                assert result == [0, 1, 2]
                assert events == [event for n in range(3) for event in (("log", str(n)), ("partial", n))]
            one = Heard()
            with pytest.raises(ModelRaised, match="LookupError: no more"):
                await one.run(host, "fails_after", 10)
            assert one.events == [("partial", n) for n in range(10)]
            one = Heard()
            with pytest.raises(ModelRaised, match="ResultTooLarge"):
                await one.run(host, "items", 10**9, 100_000)
            assert len([kind for kind, _ in one.events if kind == "partial"]) == 19
            result, events = await heard(host, "items", 20_000)
            assert result == list(range(20_000)) == [value for kind, value in events if kind == "partial"]

    run(scenario())


@ONE_LOOP
def test_threads_may_tell_and_forks_and_old_jobs_may_not(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TELLER)) as host:
            problems, events = await heard(host, "from_threads", 300)
            assert len(problems) == 3
            assert problems[0].startswith("no job is run here")
            for name in "abc":
                mine = [value for _, value in events if value.startswith(name)]
                assert mine == [f"{name} {n}" for n in range(300)]
            assert await heard(host, "from_a_fork") == (True, [])
            await heard(host, "keep")
            assert await heard(host, "with_the_job_before") == (False, [("log", "in time")])

    run(scenario())


@ONE_LOOP
@pytest.mark.usefixtures("is_forked")
@pytest.mark.parametrize("script", ["polls", "polls_async", "raises", "ignores_sigterm"])
def test_a_model_that_looks_at_cancelled_keeps_its_process(
    run: Run, tmp_path: Path, limit: TimeLimit, script: str
) -> None:
    async def scenario() -> None:
        async with running(make(TELLER, stop_grace_s=LONG_S)) as host:
            for how in ("cancel", "time-out"):
                file = tmp_path / how
                one = Heard()
                job = asyncio.create_task(one.run(host, script, str(file), timeout_s=limit.SECONDS))
                pid = await told(file)
                if how == "cancel":
                    job.cancel()
                else:
                    limit.end()
                with pytest.raises(asyncio.CancelledError if how == "cancel" else ModelTimedOut):
                    await job
                assert await do(host, "pid") == pid

    run(scenario())


@ONE_LOOP
@pytest.mark.parametrize("script", ["looks_once", "leaves", "endless"])
def test_a_model_that_does_not_stop_by_itself_is_stopped(run: Run, tmp_path: Path, script: str) -> None:
    async def scenario() -> None:
        async with running(make(TELLER, stop_grace_s=LONG_S)) as host:
            file = tmp_path / "pid"
            job = asyncio.create_task(Heard().run(host, script, str(file)))
            pid = await told(file)
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
            assert gone(pid)
            assert await do(host, "echo", 1) == 1

    run(scenario())


@ONE_LOOP
def test_a_job_that_is_cancelled_while_its_answer_comes_does_not_cost_its_process(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(TELLER)) as host:
            pid = await do(host, "pid")
            assert await do(host, "looks_and_tells") is False
            for turns in range(40):
                tasks: list[asyncio.Task[bytes]] = []
                at_hand = JobAtHand("id", 1, lambda *_, tasks=tasks: tasks[0].cancel())
                if turns % 2:
                    at_hand = JobAtHand("id", 1, lambda *_: None)
                tasks.append(asyncio.create_task(host.predict(b'["looks_and_tells"]', job=at_hand)))
                if turns % 2:
                    for _ in range(turns // 2):
                        await asyncio.sleep(0.0002)
                    tasks[0].cancel()
                await asyncio.wait(tasks)
            assert await do(host, "pid") == pid

    run(scenario())


@ONE_LOOP
def test_a_second_cancel_does_not_wait_for_the_model(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(make(TELLER)) as host:
            job = asyncio.create_task(Heard().run(host, "looks_once", str(tmp_path / "pid")))
            pid = await told(tmp_path / "pid")
            job.cancel()
            await asyncio.sleep(0)
            job.cancel()
            await eventually(lambda: gone(pid))
            with pytest.raises(asyncio.CancelledError):
                await job

    run(scenario())


@ONE_LOOP
def test_several_jobs_in_one_call_have_no_job(run: Run) -> None:
    async def scenario() -> None:
        async with running(make("tests.workers.model_host.calls.tellers:TellerTogether")) as host:
            texts = await at_once(host, ["who"], ["who"])
            assert all(text.startswith("no job is run here") for text in texts)
            assert await Heard().run(host, "who", timeout_s=60.0) == ["the id", 3, True], "one alone has"

    run(scenario())


class Link:
    """Nobody at the other end."""

    def __init__(self, is_cancelled: bool = False) -> None:
        self.told: list[tuple[str, bytes]] = []
        self._is_cancelled = is_cancelled

    def terms(self) -> JobTerms:
        return JobTerms("id", 1, None, True)

    def tell(self, kind: str, value: bytes) -> None:
        self.told.append((kind, value))

    def is_cancelled(self) -> bool:
        return self._is_cancelled


JOB = Job(Link())


def takes_both(input: Any, job: Job) -> Any:  # noqa: A002
    return input, job


def takes_job_first(job: Job, input: Any) -> Any:  # noqa: A002
    return input, job


def takes_by_place(job: Job, input: int, /) -> Any:  # noqa: A002
    return input, job


def takes_by_name(input: int, *, it: Job | None = None) -> Any:  # noqa: A002
    return input, it


def takes_members(text: str, job: Job, size: int = 2, **rest: int) -> Any:
    return (text, size, rest), job


def takes_in_quotes(input: Any, job: "Job") -> Any:  # noqa: A002, UP037
    return input, job


def takes_only_job(job: Job) -> Any:
    return {}, job


@pytest.mark.parametrize(
    ("predict", "pushed", "got"),
    [
        (takes_both, 5, 5),
        (takes_both, {"job": 1}, {"job": 1}),
        (takes_job_first, [1], [1]),
        (takes_by_place, "7", 7),
        (takes_by_name, "7", 7),
        (takes_members, {"text": "a", "n": "3"}, ("a", 2, {"n": 3})),
        (takes_in_quotes, 5, 5),
        (takes_only_job, {}, {}),
    ],
)
def test_the_job_is_an_argument_wherever_its_parameter_is(predict: Callable[..., Any], pushed: Any, got: Any) -> None:
    bind, parameter = binder_of(predict), job_parameter_of(predict)
    assert parameter is not None
    positional, named = ([pushed], {}) if bind is None else bind(pushed)
    positional, named = parameter.added(positional, named, JOB)
    assert predict(*positional, **named) == (got, JOB)


def test_the_job_is_part_of_no_input_and_no_schema() -> None:
    bind = binder_of(takes_members)
    assert bind is not None
    with pytest.raises(InputRefused, match="predict has no such parameter"):
        bind({"text": "a", "job": 1})
    schema = orjson.loads(described(takes_members, bind).schema)
    assert list(schema["input"]["properties"]) == ["text", "size"]
    assert schema["accepts"]["properties"]["job"] is False
    assert described(takes_both, binder_of(takes_both)).schema == b""
    assert job_parameter_of(lambda job: job) is None, "its name says nothing"


def test_only_where_a_job_is_run_there_is_a_current_one() -> None:
    with pytest.raises(RuntimeError, match="no job is run here"):
        current()
    token = set_current(JOB)
    assert current() is JOB
    reset_current(token)


def test_what_is_told_is_bounded_and_json() -> None:
    link = Link()
    job = Job(link)
    job.log("x" * 10_000)
    job.log("\ud800")
    job.log(17)
    assert [orjson.loads(value) for _, value in link.told] == ["x" * 2000, "?", "17"]
    job.raise_if_cancelled()
    with pytest.raises(Cancelled):
        Job(Link(is_cancelled=True)).raise_if_cancelled()

"""The load generator against the real service: every job in time, every job accounted for."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from bench.common.arrivals import LoadError
from bench.common.runs import OUTCOMES, read, write
from bench.load import user
from bench.load.generator import Generator
from bench.load.observer import QueueSource
from bench.load.plan import LoadPlan
from bench.reports.series import latencies
from tests.bench.services import liar, service
from workers import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from bench.common.runs import Run
    from tests.servers import Server


async def made(generator: Generator) -> tuple[Run, Counter[str]]:
    """The run, with counts of its outcomes; and whatever happened, every job has exactly one."""
    run = await generator.run()
    assert not generator.errors
    outcomes = Counter(run.jobs.outcome)
    assert outcomes == +generator.account.outcomes
    assert set(outcomes) <= set(OUTCOMES)
    assert generator.phase == "over"
    return run, outcomes


def plan(url: str, load: str = "constant:100", **more: Any) -> LoadPlan:
    """40 jobs, one each 10 ms."""
    return LoadPlan(load, **{"url": url, "duration_s": 0.4, "process": "deterministic", "timeout_s": 60.0, **more})


async def test_every_job_finishes_and_is_looked_at_twice(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, workers=2) as fleet, QueueSource(fleet.base) as queue:
        generator = Generator(plan(fleet.base, name="a name"), [queue])
        run, outcomes = await made(generator)
        ran = [record.input for record in fleet.runs]
    assert outcomes == {"finished": 40}
    assert sorted(ran) == sorted(f"job {n}" for n in range(1, 41))
    assert generator.account.unchecked == 0

    jobs = run.jobs
    assert jobs.scheduled_s == pytest.approx([n / 100 for n in range(1, 41)], abs=1e-5)
    for i in range(40):
        times = (jobs.scheduled_s[i], jobs.sent_s[i], jobs.accepted_s[i], jobs.ended_s[i])
        assert all(early is not None and late is not None and early <= late for early, late in pairwise(times))
        started, finished, ended = jobs.started_s[i], jobs.finished_s[i], jobs.ended_s[i]
        assert started is not None
        assert finished is not None
        assert ended is not None
        assert started <= finished <= ended + 0.002  # the service's times are whole milliseconds
    assert jobs.attempts == [1] * 40
    assert jobs.status_code == [None] * 40
    assert len(set(jobs.id)) == 40

    assert run.samples.t_s[0] < 1
    assert all(isinstance(value, int) for value in run.samples.waiting + run.samples.running)
    assert run.samples.ready == [None] * len(run.samples.t_s)
    assert (run.kind, run.name, run.duration_s) == ("load", "a name", 0.4)
    assert run.parameters["load"] == "constant:100"
    assert run.versions["aiohttp"]
    assert run.versions["leadtime"] == __version__
    assert run.versions["service"] == __version__
    assert run.started.endswith("+00:00")

    write(run, tmp_path / "run.json.gz")
    assert read(tmp_path / "run.json.gz") == run


@pytest.mark.slow
async def test_requests_leave_whether_or_not_anything_is_answered(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, workers=0) as fleet:
        generator = Generator(plan(fleet.base))
        task = asyncio.create_task(made(generator))
        async with asyncio.timeout(60):
            while generator.account.accepted < 40:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert generator.account.in_flight == 40
        assert generator.account.outcomes.total() == 0
        await fleet.start_workers(1)
        _, outcomes = await task
    assert outcomes == {"finished": 40}


async def test_push_only(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, workers=0) as fleet:
        run, outcomes = await made(Generator(plan(fleet.base, push_only=True)))
        assert (await fleet.stream.counts()).waiting == 40
    assert outcomes == {"accepted": 40}
    assert run.jobs.ended_s == pytest.approx(run.jobs.accepted_s, abs=0.1)
    assert len(latencies(run)[1]) == 40


async def test_polling_users_see_the_end(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path) as fleet:
        _, outcomes = await made(Generator(plan(fleet.base, poll_s=0.1)))
    assert outcomes == {"finished": 40}


@pytest.mark.slow
async def test_polling_users_give_up(valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user, "MOST_POLLS", 3)
    async with service(valkey, tmp_path, workers=0) as fleet:
        run, outcomes = await made(Generator(plan(fleet.base, poll_s=0.05)))
    assert outcomes == {"given up": 40}
    assert all(ended is not None for ended in run.jobs.ended_s)
    assert len(latencies(run)[1]) == 0


@pytest.mark.slow
async def test_jobs_that_do_not_end_in_time_are_lost(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, workers=0) as fleet:
        generator = Generator(plan(fleet.base, timeout_s=0.5))
        run, outcomes = await made(generator)
    assert outcomes == {"lost": 40}
    assert run.jobs.ended_s == [None] * 40
    assert not generator.account.is_clean
    assert any("40 jobs count as lost that had not ended 0.5 s after the load's end" in note for note in run.notes)


async def test_failures_and_inputs_that_come_back_changed(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, MODEL="tests.workers.models:Scripted") as fleet:
        for template, any_input, outcome, strange in (
            ('["fail", "job {n}"]', False, "failed", 0),
            ('["echo", {"output": {n}, "input": "another"}]', False, "failed", 10),
            ('["echo", {"output": {n}, "input": "another"}]', True, "finished", 0),
            ('["echo", "no input at all"]', False, "finished", 0),
        ):
            generator = Generator(plan(fleet.base, "constant:25", input=template, check_input=not any_input))
            run, outcomes = await made(generator)
            assert outcomes == {outcome: 10}
            assert generator.account.strange == strange
            assert generator.account.is_clean is not bool(strange)
            assert any("did not carry their own id and input" in note for note in run.notes) is bool(strange)


@pytest.mark.slow
async def test_refused_pushes_keep_their_status_code(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, workers=0, MAX_BACKLOG="15") as fleet:
        generator = Generator(plan(fleet.base, timeout_s=2.0))
        run, outcomes = await made(generator)
    assert outcomes == {"lost": 15, "refused": 25}
    assert Counter(run.jobs.status_code) == {None: 15, 503: 25}
    assert generator.account.refusals == {503: 25}
    assert any("25 pushes were refused with a status code of 500 or more" in note for note in run.notes)


@pytest.mark.slow
async def test_persistent_users_come_again(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, MAX_BACKLOG="2") as fleet:
        run, outcomes = await made(Generator(plan(fleet.base, "constant:1000", duration_s=0.02, persist=True)))
    assert outcomes == {"finished": 20}
    assert any("push: HTTP 503" in note for note in run.notes)


@pytest.mark.slow
async def test_api_key_is_used_and_not_kept(valkey: Server, tmp_path: Path) -> None:
    key = "a-key-of-many-letters"
    async with service(valkey, tmp_path, API_KEYS=key) as fleet:
        _, without = await made(Generator(plan(fleet.base)))
        run, with_key = await made(Generator(plan(fleet.base, api_key=key)))
    assert without == {"refused": 40}
    assert with_key == {"finished": 40}
    file = tmp_path / "run.json.gz"
    write(run, file)
    assert key not in repr(read(file))
    assert "password" not in repr(plan("http://name:password@127.0.0.1:1").parameters())


@pytest.mark.slow
async def test_gateway_that_is_killed_costs_no_job(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, MODEL_PREDICT_S="0.001") as fleet:
        generator = Generator(plan(fleet.base, "constant:50", duration_s=2.0))
        task = asyncio.create_task(made(generator))
        while generator.account.sent < 25:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        generator.events.append({"t_s": generator.clock(), "what": "the gateway was killed"})
        await fleet.restart_gateway()
        run, outcomes = await task
        inputs = Counter(record.input for record in fleet.runs)
    assert outcomes == {"finished": 100}
    assert sorted(inputs) == sorted(f"job {n}" for n in range(1, 101))
    assert set(inputs.values()) == {1}, "a push that was sent again made another job"
    assert generator.account.troubles
    assert any("were made again" in note for note in run.notes)
    assert [event["what"] for event in run.events] == ["the gateway was killed"]


async def test_interrupted_run_accounts_for_what_was_sent(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, workers=0) as fleet:
        generator = Generator(plan(fleet.base, "constant:20", duration_s=600.0))
        task = asyncio.create_task(made(generator))
        while generator.account.accepted < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        generator.interrupt()
        generator.interrupt()
        run, outcomes = await task
    assert outcomes == {"given up": generator.account.sent}
    assert run.duration_s == 600
    assert any("The run was interrupted" in note for note in run.notes)


@pytest.mark.slow
async def test_interrupted_run_waits_for_what_is_in_flight(valkey: Server, tmp_path: Path) -> None:
    async with service(valkey, tmp_path, MODEL_PREDICT_S="0.2") as fleet:
        generator = Generator(plan(fleet.base, "constant:5", duration_s=600.0))
        task = asyncio.create_task(made(generator))
        while generator.account.accepted < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        generator.interrupt()
        _, outcomes = await task
    assert outcomes["finished"] >= 3


@pytest.mark.parametrize(
    ("lie", "outcomes"),
    [
        ("none", {"finished": 10}),
        ("push without an answer", {"finished": 10}),
        ("bad gateway", {"finished": 10}),
        ("no id", {"refused": 10}),
        ("away for a moment", {"refused": 10}),
        ("one id for all", {"finished": 1, "duplicated": 9}),
        ("unknown", {"lost": 10}),
        ("no JSON", {"lost": 10}),
        ("cancelled", {"cancelled": 10}),
        ("no data", {"lost": 10}),
        ("data once", {"lost": 10}),
        ("another's input", {"failed": 10}),
        ("another's id", {"failed": 10}),
        ("another result", {"duplicated": 10}),
    ],
)
async def test_broken_promise_is_seen(lie: str, outcomes: dict[str, int]) -> None:
    async with liar(lie) as service:
        timeout_s = 0.5 if lie == "no JSON" else 60.0
        generator = Generator(plan(service.url, "constant:100", duration_s=0.1, timeout_s=timeout_s))
        run, found = await made(generator)
    if lie == "one id for all":  # what becomes of the first one depends on whose input it finds there
        assert found["duplicated"] >= 9
    else:
        assert found == outcomes
    promises_kept = found.keys() <= {"finished", "refused", "cancelled"}
    assert generator.account.is_clean is promises_kept
    if lie in ("push without an answer", "bad gateway"):
        assert min(service.pushes.values()) > 1
        assert len(service.pushes) == 10
    assert run.jobs.status_code.count(503) == (10 if lie == "away for a moment" else 0)


async def test_second_look_can_be_left_out() -> None:
    async with liar("another result") as service:
        generator = Generator(plan(service.url, second_look=False))
        _, outcomes = await made(generator)
    assert outcomes == {"finished": 40}


async def test_service_that_is_not_there(tmp_path: Path) -> None:
    async with liar("none") as gone:
        pass
    generator = Generator(plan(gone.url, timeout_s=0.5))
    run, outcomes = await made(generator)
    assert outcomes == {"refused": 40}
    assert run.jobs.status_code == [None] * 40
    assert run.jobs.accepted_s == [None] * 40
    assert generator.account.refusals == {None: 40}


async def test_mistake_in_a_user_is_told_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = user.Users._fetch

    async def break_one(self: user.Users, job: Any, body: bytes) -> None:
        if job.number == 3:
            raise LookupError("of all things")
        await fetch(self, job, body)

    monkeypatch.setattr(user.Users, "_fetch", break_one)
    async with liar("none") as service:
        generator = Generator(plan(service.url, "constant:100", duration_s=0.1))
        run = await generator.run()
    assert Counter(run.jobs.outcome) == {"finished": 9, "lost": 1}
    assert any("LookupError('of all things')" in note for note in run.notes)


async def test_trace_gives_times_and_services(valkey: Server, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival_s,service_s\n0.1,0.25\n0.2,\n0.3,0.125\n")
    async with service(valkey, tmp_path) as fleet:
        run, outcomes = await made(Generator(plan(fleet.base, f"trace:{trace}", duration_s=None)))
        inputs = sorted(record.input for record in fleet.runs)
    assert outcomes == {"finished": 3}
    assert run.jobs.scheduled_s == [0.1, 0.2, 0.3]
    assert run.duration_s == 0.3
    assert inputs == [f"{{'job': {n}, 'service_s': {s}}}" for n, s in ((1, 0.25), (2, None), (3, 0.125))]


async def test_load_without_jobs(tmp_path: Path) -> None:
    async with liar("none") as service:
        run, outcomes = await made(Generator(plan(service.url, "constant:0", duration_s=0.1)))
    assert not outcomes
    write(run, tmp_path / "run.json.gz")


def test_load_that_is_none() -> None:
    with pytest.raises(LoadError):
        Generator(LoadPlan("no-such-load"))

"""One attempt's outcome, without a server."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
from arq import Retry
from arq.worker import RetryJob, func

from workers.model_host.errors import ModelCrashed, ModelRaised
from workers.stream import Claimed
from workers.wire.result import EncodedResult
from workers.worker.attempt import Again, Attempt, Done, Failed, NotAtHand, Stopped, retry_defer_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workers.worker.attempt import Outcome

    Coroutine = Callable[..., Awaitable[Any]]


async def run(
    coroutine: Coroutine,
    *,
    args: bytes = b"[]",
    timeout_s: float | None = 20,
    retry_jobs: bool = True,
    attempt: Attempt | None = None,
    before: Coroutine | None = None,
) -> Outcome:
    """Runs it as a worker does."""
    attempt = attempt or Attempt(Claimed("id", "1-0", "job", args, b"", 1, 1_700_000_000_000))
    ctx = attempt.context({})
    outcomes: list[Outcome] = []

    async def task() -> None:
        outcomes.append(await attempt.run(func(cast("Any", coroutine)), ctx, timeout_s, retry_jobs, 1000, before))
        await asyncio.sleep(0)  # a cancel that was not answered would hit here

    attempt.task = asyncio.create_task(task())
    await attempt.task
    return outcomes[0]


def raising(error: BaseException) -> Coroutine:
    async def job(ctx: dict[str, Any]) -> None:
        raise error

    return job


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("x"), Failed("ValueError", "x")),
        (ModelRaised("Odd", "x"), Failed("Odd", "x")),
        (TimeoutError("own"), Failed("TimeoutError", "own")),
        (SystemExit(3), Failed("SystemExit", "3")),
        (BaseException("x"), Failed("BaseException", "x")),
        (Retry(defer=2), Again(2000, Failed("Retry", "the function asked for another attempt"))),
        (Retry(defer=0), Again(0, Failed("Retry", "the function asked for another attempt"))),
        (Retry(defer=-5), Again(0, Failed("Retry", "the function asked for another attempt"))),
        (asyncio.CancelledError(), Again(0, Failed("CancelledError", "the function was cancelled"))),
    ],
)
async def test_outcome_of_an_error(error: BaseException, expected: Outcome) -> None:
    assert await run(raising(error)) == expected


@pytest.mark.parametrize("error", [Retry(), RetryJob(), ModelCrashed("it died")])
async def test_default_backoff(error: Exception) -> None:
    outcome = await run(raising(error))
    assert isinstance(outcome, Again)
    assert 1 <= outcome.defer_ms <= 1000
    assert isinstance(await run(raising(error), retry_jobs=False), Failed)


async def test_a_job_whose_file_is_away_fails_in_the_end_for_that_reason() -> None:
    async def job(ctx: dict[str, Any]) -> None:
        raise NotAtHand from ConnectionError("no answer")

    outcome = await run(job)

    assert isinstance(outcome, Again)
    assert outcome.error == Failed("ConnectionError", "no answer")


def test_backoff_doubles_up_to_a_minute_and_is_jittered() -> None:
    for attempt, most_ms in ((1, 1000), (2, 2000), (4, 8000), (7, 60_000), (1000, 60_000)):
        waits = [retry_defer_ms(attempt) for _ in range(400)]
        assert 1 <= min(waits) < 0.2 * most_ms
        assert 0.8 * most_ms < max(waits) <= most_ms


async def test_result_is_json() -> None:
    async def job(ctx: dict[str, Any], a: int) -> dict[str, int]:
        return {"a": a}

    assert await run(job, args=b"[1]") == Done(b'{"a":1}')


def returning(value: Any) -> Coroutine:
    async def job(ctx: dict[str, Any], *args: Any) -> Any:
        return value

    return job


async def test_numbers_are_handed_on_digit_for_digit() -> None:
    async def job(ctx: dict[str, Any], *args: Any) -> Any:
        return args

    digits = b"[18446744073709551616,-9223372036854775809,-0.0,0.1]"
    assert await run(job, args=digits) == Done(digits)


async def test_a_result_is_written_by_the_same_table_as_a_models(caplog: pytest.LogCaptureFixture) -> None:
    assert await run(returning({1: {Decimal("1.50")}})) == Done(b'{"1":[1.50]}')
    assert await run(returning([math.nan])) == Done(
        b"[null]", b'{"warnings":[{"pointer":"/0","detail":"NaN became null"}]}'
    )
    assert "NaN became null" in caplog.text
    assert await run(returning({"a": b"x"})) == Failed(
        "TypeError", "the result can't be written as JSON: bytes, to be made a text first, for example by base64, at /a"
    )


async def test_a_models_result_is_kept_with_the_input_that_was_pushed() -> None:
    pushed = b'[{"n": 1.0e2}]'
    assert await run(returning(EncodedResult(b"[1]", False)), args=pushed) == Done(b"[1]", b'{"input":{"n": 1.0e2}}')
    assert await run(returning(EncodedResult(b'{"input":1}', True)), args=pushed) == Done(b'{"input":1}')
    long = Attempt(Claimed("id", "1-0", "job", b"[]", b'{"input":18446744073709551616}', 1, 0))

    async def job(ctx: dict[str, Any], input: Any) -> EncodedResult:  # noqa: A002
        return EncodedResult(b"1", False)

    assert await run(job, attempt=long) == Done(b"1", b'{"input":18446744073709551616}')


async def test_arguments_that_do_not_fit() -> None:
    async def job(ctx: dict[str, Any]) -> None: ...

    outcome = await run(job, args=b"[1]")
    assert isinstance(outcome, Failed)
    assert outcome.type == "TypeError"
    assert isinstance(await run(job, args=b"["), Failed)


def test_errors_are_json_of_bounded_size() -> None:
    body = orjson.loads(Failed("Odd\ud800", "x" * 10_000).body)
    assert body == {"type": "Odd?", "message": "x" * 2000}


@pytest.mark.parametrize("reason", ["cancelled", "lost", "shutdown"])
@pytest.mark.parametrize("how", ["as it is", "as another error"])
async def test_stop(reason: Any, how: str) -> None:
    attempt = Attempt(Claimed("id", "1-0", "job", b"[]", b"", 1, 0))

    async def job(ctx: dict[str, Any]) -> None:
        asyncio.get_running_loop().call_soon(attempt.stop, reason)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if how == "as another error":
                raise OSError("wrapped") from None
            raise

    assert await run(job, attempt=attempt) == Stopped(reason)
    assert attempt.task is not None
    assert attempt.task.cancelling() == 0


async def test_stop_before_the_start_and_after_the_end() -> None:
    ran = []

    async def job(ctx: dict[str, Any]) -> str:
        ran.append(1)
        return "done"

    attempt = Attempt(Claimed("id", "1-0", "job", b"[]", b"", 1, 0))
    attempt.stop("cancelled")
    assert await run(job, attempt=attempt) == Stopped("cancelled")
    assert ran == []
    attempt = Attempt(Claimed("id", "1-0", "job", b"[]", b"", 1, 0))
    assert await run(job, attempt=attempt) == Done(b'"done"')
    attempt.stop("cancelled")


async def test_a_result_stands_against_a_stop() -> None:
    attempt = Attempt(Claimed("id", "1-0", "job", b"[]", b"", 1, 0))

    async def job(ctx: dict[str, Any]) -> str:
        asyncio.get_running_loop().call_soon(attempt.stop, "shutdown")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "saved"
        return ""

    assert await run(job, attempt=attempt) == Done(b'"saved"')
    assert attempt.task is not None
    assert attempt.task.cancelling() == 0


async def test_a_second_stop_reaches_a_function_that_swallowed_the_first() -> None:
    attempt = Attempt(Claimed("id", "1-0", "job", b"[]", b"", 1, 0))
    swallowed = asyncio.Event()

    async def job(ctx: dict[str, Any]) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.sleep(60)

    running = asyncio.create_task(run(job, attempt=attempt, timeout_s=0.01))
    await asyncio.wait_for(swallowed.wait(), 10)
    attempt.stop("shutdown")
    assert await asyncio.wait_for(running, 10) == Failed("TimeoutError", "timed out after 0.01 s")


async def test_timeout() -> None:
    async def job(ctx: dict[str, Any]) -> None:
        await asyncio.sleep(60)

    assert await run(job, timeout_s=0.01) == Failed("TimeoutError", "timed out after 0.01 s")
    outcome = await run(job, timeout_s=0.01, before=job)
    assert isinstance(outcome, Again)
    assert outcome.error.type == "JobHookFailed"


async def test_context_is_arqs() -> None:
    attempt = Attempt(Claimed("id", "1-0", "job", b"[]", b"", 3, 1_700_000_000_123))
    ctx = attempt.context({"mine": 1})
    assert (ctx["mine"], ctx["job_id"], ctx["job_try"], ctx["score"]) == (1, "id", 3, 1_700_000_000_123)
    assert ctx["enqueue_time"].isoformat() == "2023-11-14T22:13:20.123000+00:00"

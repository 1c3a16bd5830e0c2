"""What happens to a job, told to whom its push has named: at least once, under the same id, in no other's way."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web
from redis.exceptions import ConnectionError as RedisConnectionError
from standardwebhooks.webhooks import Webhook

from tests.serving import serving
from tests.workers.service import until
from tests.workers.stream.actions import fail_one, finish, see
from tests.workers.webhooks.receiver import Receiver
from workers.outbound.addresses import AddressRules
from workers.stream import Finish, NewJob, Stream
from workers.stream.events import Telling
from workers.webhooks import delivery
from workers.webhooks.queue import DeliveryTerms, deliveries
from workers.webhooks.signature import secrets_of
from workers.webhooks.worker import deliver_webhooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workers.settings import StreamSettings
    from workers.stream import Claimed, JobView

SECRETS = ["a secret of the service itself"]
LOCAL = AddressRules.parse("127.0.0.1")
ALL = ["started", "progress", "output", "finished", "failed", "cancelled"]


@pytest.fixture
def settings(one_settings: StreamSettings) -> StreamSettings:
    """One kind of server is enough here."""
    return one_settings


@pytest.fixture
async def failed(settings: StreamSettings) -> AsyncIterator[Stream]:
    """The internal queue, whose dead letters are the deliveries that failed."""
    queue = deliveries(settings)
    yield queue
    await queue.close()


def document(view: JobView) -> dict[str, Any]:
    """What these tests show of a job."""
    return {"id": view.id, "status": view.status, "error": view.error, "output": orjson.loads(view.result or b"null")}


class Delivering:
    """Delivers beside a test; `outcomes` are those of all tries."""

    def __init__(self, stream: Stream, **terms: Any) -> None:
        self._stream = stream
        self._terms = DeliveryTerms(partial(secrets_of, service_secrets=SECRETS), terms.pop("rules", LOCAL), **terms)
        self.outcomes: list[str] = []

    async def __aenter__(self) -> Delivering:
        coroutine = deliver_webhooks(self._stream, document, self._terms, self.outcomes.append)
        self._task = asyncio.create_task(coroutine)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


async def push(stream: Stream, url: str, job_id: str = "job", events: list[str] = ALL, owner: str = "me") -> None:
    webhook = orjson.dumps({"url": url, "events": events}).decode()
    assert (await stream.push(NewJob(job_id, b'["x"]', owner=owner, webhook=webhook))).outcome == "accepted"


async def claim(stream: Stream, worker: str = "w") -> Claimed:
    [job] = await stream.claim(worker, 1)
    return job


async def test_each_event_that_was_asked_for_is_told_in_a_signed_message(stream: Stream) -> None:
    receiver = Receiver()
    async with receiver.serving() as base, Delivering(stream) as delivering:
        await push(stream, f"{base}/hook")
        job = await claim(stream)
        await receiver.until(1)
        told = (("progress", b'{"fraction":0.5,"text":"half"}'), ("log", b'"a line"'), ("partial", b"[1,2]"))
        await stream.tell("w", [Telling(job.id, job.attempt, 1, told)])
        await receiver.until(3)
        await finish(stream, "w", [job])
        await receiver.until(4)
        await until(lambda: delivering.outcomes == ["delivered"] * 4)
    messages = {got.message["type"]: got.message["data"] for got in receiver.got}
    assert messages == {
        "job.started": {"id": "job", "status": "processing", "attempts": 1},
        "job.progress": {"id": "job", "status": "processing", "progress": {"fraction": 0.5, "text": "half"}},
        "job.output": {"id": "job", "status": "processing", "output": [1, 2]},
        "job.finished": {"id": "job", "status": "finished", "error": None, "output": "done"},
    }
    [secret] = secrets_of("me", SECRETS)
    for got in receiver.got:
        assert Webhook(secret).verify(got.body, got.headers) == got.message
        assert got.headers["content-type"] == "application/json"
        assert got.message["timestamp"].endswith("Z")
    assert len({got.id for got in receiver.got}) == 4


async def test_urls_of_the_jobs_files_begin_with_the_root_path(stream: Stream) -> None:
    receiver = Receiver()
    async with receiver.serving() as base, Delivering(stream, root_path="/api"):
        await push(stream, f"{base}/hook", events=["output"])
        job = await claim(stream)
        told = [("partial", b'[{"url":"/files/job/1-a.png"},{"url":"/files/another/1-a.png"}]')]
        await stream.tell("w", [Telling(job.id, job.attempt, 1, told)])
        [got] = await receiver.until(1)

    assert [one["url"] for one in got.message["data"]["output"]] == ["/api/files/job/1-a.png", "/files/another/1-a.png"]


async def test_nothing_is_told_that_was_not_asked_for(stream: Stream) -> None:
    receiver = Receiver()
    async with receiver.serving() as base, Delivering(stream):
        await push(stream, f"{base}/hook", "failing", ["failed"])
        await push(stream, f"{base}/hook", "finishing", ["failed"])
        await finish(stream, "w", await stream.claim("w", 1), "failed")
        await finish(stream, "w", await stream.claim("w", 1))
        await fail_one(stream)  # it has no webhook
        await push(stream, f"{base}/hook", "cancelled", ["cancelled"])
        await stream.cancel("cancelled")
        got = await receiver.until(2)
    told = sorted((one.message["type"], one.message["data"]["id"]) for one in got)
    assert told == [("job.cancelled", "cancelled"), ("job.failed", "failing")]
    error = next(one for one in got if one.message["type"] == "job.failed").message["data"]["error"]
    assert error == {"type": "ValueError", "message": "no"}


async def test_a_delivery_that_is_not_taken_is_repeated_under_its_id(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SOONEST_S", 0.01)
    receiver = Receiver(lambda count: web.Response(status=(500, 302, 200)[count - 1]))
    async with receiver.serving() as base, Delivering(stream) as delivering:
        await push(stream, f"{base}/hook", events=["finished"])
        await finish(stream, "w", [await claim(stream)])
        got = await receiver.until(3)
        await until(lambda: delivering.outcomes == ["retried", "retried", "delivered"])
    assert len({(one.id, one.body) for one in got}) == 1


async def test_a_delivery_that_was_given_up_is_kept_and_can_be_sent_again(
    stream: Stream, failed: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    unread = {"Retry-After": "\N{SUPERSCRIPT TWO}"}  # that can't be read; it changes nothing
    receiver = Receiver(lambda count: web.Response(status=410 if count == 1 else 200, headers=unread))
    async with receiver.serving() as base, Delivering(stream) as delivering:
        await push(stream, f"{base}/hook", events=["finished"])
        await finish(stream, "w", [await claim(stream)])
        await until(lambda: delivering.outcomes == ["failed"])
        await until(lambda: _has_dead(failed))
        [letter] = await failed.dead_letters()
        assert (letter.owner, letter.error["message"]) == ("me", "the receiver answered 410")
        [line] = [one for one in caplog.records if one.levelname == "ERROR"]
        assert line.getMessage().endswith("failed: NotDelivered: the receiver answered 410")
        assert line.exc_info is None, "the receiver is to blame, and no line of ours"
        assert await failed.requeue(letter.entry)
        first, again = await receiver.until(2)
    assert first.id == again.id == letter.id


async def _has_dead(queue: Stream) -> bool:
    return bool(await queue.dead_letters())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://localhost:1/hook", "127.0.0.1, no public address"),
        ("http://127.0.0.1:1/hook", "https"),
        ("https://127.0.0.1:1/hook", "127.0.0.1 is no public address"),
    ],
)
async def test_what_may_not_be_called_is_not_called(stream: Stream, failed: Stream, url: str, why: str) -> None:
    async with Delivering(stream, rules=AddressRules(), give_up_s=0.0):
        await push(stream, url, events=["finished"])
        await finish(stream, "w", [await claim(stream)])
        await until(lambda: _has_dead(failed))
    [letter] = await failed.dead_letters()
    assert why in letter.error["message"]


async def test_a_receiver_that_hangs_holds_up_nobody_else(stream: Stream) -> None:
    hung = 0
    go_on = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        nonlocal hung
        hung += 1
        await go_on.wait()
        return web.Response()

    receiver = Receiver()
    async with serving(web.post("/hang", hang)) as bad, receiver.serving() as good, Delivering(stream):
        for number in range(40):
            await push(stream, f"{bad}/hang", f"bad{number}", ["cancelled"])
            await stream.cancel(f"bad{number}")
        await until(lambda: hung == 16)
        await push(stream, f"{good}/hook", "good", ["cancelled"])
        await stream.cancel("good")
        await receiver.until(1)
        assert hung == 16
        go_on.set()


async def test_a_delivery_goes_on_with_another_process_when_its_own_ends(stream: Stream) -> None:
    arrived, calls = asyncio.Event(), 0

    async def hang_once(_request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        arrived.set()
        if calls == 1:
            await asyncio.Event().wait()
        return web.Response()

    async with serving(web.post("/hook", hang_once)) as base:
        async with Delivering(stream):
            await push(stream, f"{base}/hook", events=["cancelled"])
            await stream.cancel("job")
            await asyncio.wait_for(arrived.wait(), 30)
        async with Delivering(stream) as delivering:
            await until(lambda: delivering.outcomes == ["delivered"])
    assert calls == 2


async def test_an_outage_of_the_server_is_no_failure_of_a_delivery(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SOONEST_S", 0.01)
    view_many, calls = Stream.view_many, 0

    async def away_at_first(self: Stream, *args: Any) -> list[JobView | None]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RedisConnectionError("the connection was lost")
        return await view_many(self, *args)

    monkeypatch.setattr(Stream, "view_many", away_at_first)
    receiver = Receiver()
    async with receiver.serving() as base, Delivering(stream) as delivering:
        await push(stream, f"{base}/hook", events=["cancelled"])
        await stream.cancel("job")
        await receiver.until(1)
        await until(lambda: delivering.outcomes == ["retried", "delivered"])


async def test_a_job_that_is_no_longer_what_it_was_is_told_of_as_it_was(stream: Stream) -> None:
    receiver = Receiver()
    async with receiver.serving() as base:
        await push(stream, f"{base}/hook", events=["failed"])
        await finish(stream, "w", [await claim(stream)], "failed")
        assert await stream.retry("job") == "retried"
        async with Delivering(stream):
            await receiver.until(1)
            # The job keeps its webhook: a second failure is another message.
            await finish(stream, "w", [await claim(stream)], "failed")
            first, second = await receiver.until(2)
    assert first.message["data"] == {
        "id": "job", "status": "failed", "error": {"type": "ValueError", "message": "no"},
    }  # fmt: skip
    assert second.message["data"]["status"] == "failed"
    assert first.id != second.id
    assert (await see(stream, "job")).status == "failed"


async def test_a_result_that_is_too_large_is_left_out_with_a_warning(stream: Stream) -> None:
    receiver = Receiver()
    async with receiver.serving() as base, Delivering(stream):
        await push(stream, f"{base}/hook", events=["finished"])
        job = await claim(stream)
        await stream.finish("w", [Finish(job.id, 1, "finished", b'"%b"' % (b"x" * 300_000), 60_000)])
        [got] = await receiver.until(1)
    assert got.message["data"]["output"] is None
    assert "300002 bytes" in got.message["data"]["warnings"][0]["detail"]


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("120", 120),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 01 Jan 99999999999 00:00:00 GMT", 0),
        ("\N{SUPERSCRIPT TWO}", 0),
        ("soon", 0),
        ("", 0),
    ],
)
def test_a_retry_after_is_a_number_or_a_date(header: str, wait_s: float) -> None:
    assert delivery.retry_after_s(header, 1_767_225_600) == wait_s


def test_tries_come_ever_more_slowly() -> None:
    for age_s, least_s, most_s in ((0, 4, 6), (10, 8, 12), (3600, 2880, 4320), (10**6, 17_280, 25_920)):
        assert least_s <= delivery.next_try_s(age_s) <= most_s

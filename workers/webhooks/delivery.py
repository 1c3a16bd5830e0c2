"""One delivery: a POST to a client's URL, repeated until it is taken."""

from __future__ import annotations

import logging
import random
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn

import aiohttp
from arq.worker import Retry

from workers.objects.names import rooted
from workers.outbound.addresses import AddressRefused
from workers.outbound.resolver import GuardedResolver
from workers.stream import is_unavailable
from workers.webhooks.message import JobNews
from workers.webhooks.places import HostBusy, Places
from workers.webhooks.signature import headers_of
from workers.worker.attempt import KnownFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Tracer
    from yarl import URL

    from workers.stream import Stream
    from workers.webhooks.message import MakeDocument
    from workers.webhooks.queue import DeliveryTerms

logger = logging.getLogger(__name__)

# A delivery is tried again when it is twice as old, within these bounds and a fifth more or less.
# Example: after about 5, 10, 20, 40 s, ... 3, 6, 12, 18 h.
SOONEST_S, LATEST_S, JITTER = 5.0, 21_600.0, 0.2
MOST_RETRY_AFTER_S = 3600.0
MOST_ANSWER_BYTES = 65_536
_GONE = 410
_CONNECT_S = 5.0


class NotDelivered(KnownFailure):
    """The receiver has not taken it. The message is one sentence."""


class Delivery:
    """The function `deliver` of the internal queue. `on_outcome` is told `delivered`, `retried` or `failed`."""

    def __init__(
        self,
        stream: Stream,
        document_of: MakeDocument,
        terms: DeliveryTerms,
        on_outcome: Callable[[str], None],
        tracer: Tracer | None = None,
    ) -> None:
        self._stream = stream
        self._document_of = document_of
        self._terms = terms
        self._on_outcome = on_outcome
        self._tracer = tracer
        self._places = Places()
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Makes the HTTP client. Each delivery resolves and connects anew."""
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._terms.rules), use_dns_cache=False, limit=0, force_close=True
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._terms.timeout_s, sock_connect=_CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Closes the HTTP client."""
        if self._session is not None:
            await self._session.close()

    async def deliver(
        self, ctx: dict[str, Any], job_id: str, event: str, at_ms: str, url: str, owner: str, value: str
    ) -> None:
        """Delivers. Raises Retry if it is to be tried again, NotDelivered if it is given up."""
        happened = JobNews(job_id, event, int(at_ms), value.encode())
        age_s = max(0.0, time.time() - ctx["enqueue_time"].timestamp())
        try:
            await self._deliver(str(ctx["job_id"]), happened, url, owner, ctx["job_try"])
        except HostBusy:
            raise Retry(defer=random.uniform(SOONEST_S, 2 * SOONEST_S)) from None  # noqa: S311
        except Undelivered as refused:
            self._again(refused, age_s)
        except Exception as error:
            # An outage of the stream's server, or a fault of ours: the receiver is not to blame.
            if not is_unavailable(error):
                logger.exception("webhook %s: unexpected error", ctx["job_id"])
            self._again(Undelivered(f"{type(error).__name__}: {error}"), age_s)
        self._on_outcome("delivered")

    def _again(self, why: Undelivered, age_s: float) -> NoReturn:
        wait_s = max(next_try_s(age_s), min(why.retry_after_s, MOST_RETRY_AFTER_S))
        if why.is_final or age_s + wait_s > self._terms.give_up_s:
            self._on_outcome("failed")
            raise NotDelivered(str(why)) from None
        self._on_outcome("retried")
        raise Retry(defer=wait_s) from why

    async def _deliver(self, message_id: str, event: JobNews, url: str, owner: str, tries: int) -> None:
        terms = self._terms
        try:
            target = terms.rules.checked(url)
        except AddressRefused as error:
            raise Undelivered(str(error), is_final=True) from None
        body = rooted(await event.message(self._stream, self._document_of), event.job_id, terms.root_path)
        async with self._places.place(f"{target.host}:{target.port}"):
            headers = headers_of(message_id, int(time.time()), body, terms.secrets_of(owner))
            headers = {"Content-Type": "application/json", "User-Agent": "leadtime"} | headers
            if self._tracer is None:
                await self._post(str(url), body, headers)
            else:
                await self._post_traced(self._tracer, message_id, event, target, body, headers, tries)

    async def _post_traced(
        self,
        tracer: Tracer,
        message_id: str,
        event: JobNews,
        url: URL,
        body: bytes,
        headers: dict[str, str],
        tries: int,
    ) -> None:
        from workers.webhooks.traced import delivery_span

        [view] = await self._stream.view_many([(event.job_id, False)])
        traceparent = (view.options.traceparent if view else None) or ""
        with delivery_span(tracer, traceparent, message_id, event, url, tries) as span:
            try:
                span.answered(await self._post(str(url), body, headers | span.headers))
            except Undelivered as refused:
                span.failed(refused.error_type, refused.status)
                raise

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """The answer's status. Raises Undelivered unless it is 2xx."""
        if self._session is None:
            raise RuntimeError("open() has not been called")
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                # Read as far as that, so that a receiver that answers while it reads is not cut off at once.
                await answer.content.read(MOST_ANSWER_BYTES)
                status, retry_after = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if isinstance(error.__cause__, AddressRefused):
                raise Undelivered(str(error.__cause__), error_type=AddressRefused.__name__) from None
            name = type(error).__name__
            raise Undelivered(f"{name}: {error}" if str(error) else "no answer in time", error_type=name) from None
        if not 200 <= status < 300:
            wait_s = retry_after_s(retry_after, time.time())
            raise Undelivered(f"the receiver answered {status}", status == _GONE, wait_s, str(status), status)
        return status


class Undelivered(Exception):  # noqa: N818
    """This try has failed; if it is final, there is no other. `status` is the answer's; 0 if there was none."""

    def __init__(
        self, why: str, is_final: bool = False, retry_after_s: float = 0.0, error_type: str = "", status: int = 0
    ) -> None:
        super().__init__(why)
        self.error_type = error_type
        self.status = status
        self.is_final = is_final
        self.retry_after_s = retry_after_s


def retry_after_s(header: str, now_s: float) -> float:
    """Seconds from `now_s` (since the epoch) that a Retry-After asks for (RFC 9110): their number, or a date.

    0 for one that can't be read.
    """
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_s)
    except (ValueError, OverflowError):
        return 0.0


def next_try_s(age_s: float) -> float:
    """Seconds until a delivery of this age is tried again."""
    return min(max(age_s, SOONEST_S), LATEST_S) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311

"""Connections to the server, and what to do when they break."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from arq.connections import ArqRedis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from workers.server_url import read
from workers.stream.link.errors import bad_server, is_unavailable, reason
from workers.stream.link.finding import found_pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

logger = logging.getLogger(__name__)

T = TypeVar("T")

Client = TypeVar("Client", bound=ArqRedis)


def connect(
    url: str,
    timeout_s: float | None,
    client: type[Client],
    key: str = "",
) -> Client:
    """A client of the server at `url`, a REDIS_URL; nothing is sent yet. Of a cluster, of the node that has `key`.

    A server that says nothing for `timeout_s` seconds counts as down (None: no limit, for subscriptions). With
    rediss:// the certificate must be valid for the host's name, unless the URL says otherwise. The client repeats no
    command, as only the caller knows which may be repeated.
    """
    options = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s or 2.0,
        "socket_keepalive": True,
        **_tls_options(url),
    }
    named = read(url)
    if named.kind == "server":
        pool = ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0), **options)
    else:
        pool = found_pool(named, options, key)
    return client(pool_or_conn=pool)


def _tls_options(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    # redis-py checks no name by default. A name can be checked only in a certificate that is checked.
    is_checked = parts.scheme.startswith("rediss") and parse_qs(parts.query).get("ssl_cert_reqs") != ["none"]
    return {"ssl_check_hostname": True} if is_checked else {}


def backoff_s(least_s: float = 0.05, most_s: float = 2.0) -> Iterator[float]:
    """Waits that double from `least_s` to `most_s`, each shortened at random by up to a half."""
    wait_s = least_s
    while True:
        yield wait_s * random.uniform(0.5, 1.0)  # noqa: S311
        wait_s = min(most_s, wait_s * 2)


async def repeated(
    call: Callable[[], Awaitable[T]],
    failed: Callable[[Exception], None],
) -> T:
    """Repeats `call`, which must be safe to repeat, with backoff for as long as the server is unavailable.

    Calls `failed` with each error of that kind. Raises any other error, and a refused user or password.
    """
    waits = backoff_s()
    while True:
        try:
            return await call()
        except Exception as error:
            # In redis-py AuthenticationError is a ConnectionError, but to repeat a refused password is no use.
            if not is_unavailable(error) or bad_server(error):
                raise
            failed(error)
        await asyncio.sleep(next(waits))


async def until_available(call: Callable[[], Awaitable[T]], what: str) -> T:
    """Repeats `call`, which must be safe to repeat, with backoff for as long as the server is unavailable.

    Logs each reason once, and that the server is back.
    """
    said: set[str] = set()

    def warn(error: Exception) -> None:
        if (why := reason(error)) not in said:
            logger.warning("%s: the server is unavailable (%s), trying until it is back", what, error)
        said.add(why)

    result = await repeated(call, warn)
    if said:
        logger.info("%s: the server is back", what)
    return result

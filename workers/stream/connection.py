"""Connections to the server, and what to do when they break."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, TypeVar

from arq.connections import ArqRedis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

logger = logging.getLogger(__name__)

T = TypeVar("T")

UNAVAILABLE = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError, OSError, TimeoutError)
_UNAVAILABLE_REPLIES = (
    "MASTERDOWN",
    "LOADING",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "NOREPLICAS",
    "MISCONF",
    "BUSY ",
)


def is_unavailable(error: BaseException) -> bool:
    """Whether the server could not be reached or can't serve now, so that the same call may succeed later."""
    if isinstance(error, UNAVAILABLE):
        return True
    return isinstance(error, ResponseError) and str(error).startswith(_UNAVAILABLE_REPLIES)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the server refused a write because its `maxmemory` is reached."""
    return isinstance(error, OutOfMemoryError)


def connect(url: str, timeout_s: float | None, client: type[ArqRedis] = ArqRedis) -> ArqRedis:
    """A client of the server at `url` (redis://, rediss:// or unix://); nothing is sent yet.

    A command takes at most `timeout_s` seconds (None: no limit, for subscriptions). The client repeats no command, as
    only the caller knows which may be repeated.
    """
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s or 2.0,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
    return client(pool_or_conn=pool)


def backoff_s(least_s: float = 0.05, most_s: float = 2.0) -> Iterator[float]:
    """Waits that double from `least_s` to `most_s`, each shortened at random by up to a half."""
    wait_s = least_s
    while True:
        yield wait_s * random.uniform(0.5, 1.0)  # noqa: S311
        wait_s = min(most_s, wait_s * 2)


async def repeated(
    call: Callable[[], Awaitable[T]],
    failed: Callable[[Exception], None],
    passes: Callable[[Exception], bool] = is_unavailable,
) -> T:
    """Repeats `call`, which must be safe to repeat, with backoff until it succeeds.

    Calls `failed` with each error for which `passes` is true; raises any other error.
    """
    waits = backoff_s()
    while True:
        try:
            return await call()
        except Exception as error:
            if not passes(error):
                raise
            failed(error)
        await asyncio.sleep(next(waits))


async def until_available(call: Callable[[], Awaitable[T]], what: str) -> T:
    """Repeats `call`, which must be safe to repeat, with backoff for as long as the server is unavailable."""
    warned = False

    def warn(error: Exception) -> None:
        nonlocal warned
        if not warned:
            logger.warning("%s: the server is unavailable (%s), trying until it is back", what, error)
        warned = True

    result = await repeated(call, warn)
    if warned:
        logger.info("%s: the server is back", what)
    return result

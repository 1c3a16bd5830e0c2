"""What arq's `Worker` takes and this one takes in another way: honoured, or refused with what takes its place."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from pydantic import ValidationError

from workers.settings import StreamSettings

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from arq.connections import RedisSettings

logger = logging.getLogger(__name__)

S = TypeVar("S", bound=StreamSettings)

_REFUSED = {
    "job_serializer": "arguments and results are JSON",
    "job_deserializer": "arguments and results are JSON",
    "expires_extra_ms": "a job waits until it is run or cancelled",
}
# With the values that change nothing.
_WITHOUT_EFFECT: dict[str, tuple[Any, str]] = {
    "poll_delay": (None, "a push wakes an idle worker"),
    "queue_read_limit": (None, "a claim brings as many jobs as there are free slots"),
    "allow_abort_jobs": (True, "every job can be cancelled"),
    "log_results": (False, "results are not logged"),
}
_OF_THE_URL = ("host", "port", "unix_socket_path", "database", "username", "password", "ssl")
_INSTEAD = {
    "conn_timeout": "set REDIS_TIMEOUT_S",
    "conn_retries": "a worker tries until the server is there",
    "conn_retry_delay": "a worker tries until the server is there",
    "sentinel": "set REDIS_URL to redis+sentinel://HOST:26379/NAME/0",
    "sentinel_master": "set REDIS_URL to redis+sentinel://HOST:26379/NAME/0",
    "max_connections": "a worker opens the connections it needs",
}


class BadArgument(ValueError):  # noqa: N818
    """An argument that can't be honoured. The message says what takes its place."""


def changed(settings: S, **changes: Any) -> S:
    """A copy with other values. Raises BadArgument for one that is not valid."""
    try:
        return type(settings).model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise BadArgument(
            f"{first['loc'][0] if first['loc'] else 'settings'}: {first['msg'].removeprefix('Value error, ')}"
        ) from None


def settings_of(settings: S, arguments: MutableMapping[str, Any]) -> S:
    """The settings, with the queue and the server that arq's arguments name; takes those out of `arguments`.

    They are `queue_name`, `redis_settings`, and `redis_pool`, which must be a client of `connect_client`. Raises
    BadArgument for what can't be honoured. Warns of what has no effect.
    """
    for name, why in _REFUSED.items():
        if arguments.pop(name, None) is not None:
            raise BadArgument(f"{name} is not supported: {why}")
    for name, (harmless, why) in _WITHOUT_EFFECT.items():
        if arguments.get(name, harmless) != harmless:
            logger.warning("%s has no effect: %s", name, why)
    changes: dict[str, Any] = {}
    pool, redis, queue_name = (arguments.pop(name, None) for name in ("redis_pool", "redis_settings", "queue_name"))
    if pool is not None:
        if not hasattr(pool, "stream"):
            raise BadArgument("redis_pool must be a client of workers.arq.client.connect_client; or set REDIS_URL")
        changes |= {name: getattr(pool.stream.settings, name) for name in StreamSettings.model_fields}
    if redis is not None:
        changes["redis_url"] = url_of(redis)
    if queue_name is not None:
        changes["queue_name"] = queue_name
    return changed(settings, **changes) if changes else settings


def url_of(redis: RedisSettings) -> str:
    """arq's settings of a server as a REDIS_URL. Raises BadArgument for what a URL can't say."""
    options = {}
    for field in dataclasses.fields(redis):
        name, value = field.name, getattr(redis, field.name)
        if name in _OF_THE_URL or value == field.default:
            continue
        if not name.startswith("ssl_"):
            raise BadArgument(f"redis_settings.{name} is not supported: {_INSTEAD.get(name, 'set REDIS_URL')}")
        options[name] = value
    user, password = quote(redis.username or "", safe=""), quote(redis.password or "", safe="")
    access = f"{user}:{password}@" if user or password else ""
    if redis.unix_socket_path:
        return f"unix://{access}{redis.unix_socket_path}?{urlencode({'db': redis.database, **options})}"
    if not isinstance(redis.host, str):
        raise BadArgument(f"redis_settings.host is not supported as a list: {_INSTEAD['sentinel']}")
    scheme, host = "rediss" if redis.ssl else "redis", f"[{redis.host}]" if ":" in redis.host else redis.host
    query = f"?{urlencode(options)}" if options and redis.ssl else ""
    return f"{scheme}://{access}{host}:{redis.port}/{redis.database}{query}"

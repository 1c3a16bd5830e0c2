"""What the errors of the server mean: for the caller, for the connection, and in one sentence for people."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable  # noqa: TC003

from redis.exceptions import AuthenticationError, BusyLoadingError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

# Replies of a server that can't serve now, by their first word. Another server may be behind the same address by now
# (a failover), except after the last two.
_STALE = {
    "READONLY": "is a replica, which takes no writes",
    "MASTERDOWN": "is a replica that has lost its primary",
    "LOADING": "is loading its data",
    "CLUSTERDOWN": "is a node of a cluster that does not serve the queue's keys",
    "MOVED": "is a node of a cluster, and the queue's keys are on another node",
    "NOREPLICAS": "has too few replicas to take writes",
    "MISCONF": "can't write to its disk",
}
_BUSY = {
    "ASK": "is moving the queue's keys to another node",
    "TRYAGAIN": "is moving the queue's keys to another node",
    "BUSY": "is busy with somebody's script",
}
# redis-py takes the first word off some replies, and has a class for them instead.
_CLASSES = {ReadOnlyError: "READONLY", BusyLoadingError: "LOADING"}
_NO_RIGHT = re.compile(r"No permissions|no permissions|user executing the script can't")
_UNKNOWN_COMMAND = re.compile(r"unknown command [`']?(\w+)", re.IGNORECASE)
_RIGHTS = "docs/operations.md lists the rights that it needs"


class ServerUnfit(Exception):  # noqa: N818
    """The server answers, but must not be trusted with jobs; the message says why, in one sentence."""


class WrongPlace(ResponseError):  # noqa: N818
    """REDIS_URL leads to something else than it says; the message says to what, in words that follow on it."""


UNAVAILABLE = (
    RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError, OSError, TimeoutError, ServerUnfit,
)  # fmt: skip


def is_unavailable(error: BaseException) -> bool:
    """Whether the server could not be reached or can't serve now, so that the same call may succeed later."""
    return isinstance(error, UNAVAILABLE) or _first_word(error) in _STALE or _first_word(error) in _BUSY


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the server refused a write because its `maxmemory` is reached."""
    return isinstance(error, OutOfMemoryError)


def is_stale(error: BaseException) -> bool:
    """Whether a new connection to the same address may lead to another server, which can serve."""
    return _first_word(error) in _STALE


def bad_server(error: BaseException) -> str:
    """Why no repeating helps, as it is the wrong server, password or ACL; empty if that is not what `error` says."""
    text = str(error)
    if isinstance(error, AuthenticationError):
        return f"the server refuses its user or password: {text}"
    if isinstance(error, WrongPlace):
        return text
    if isinstance(error, ResponseError):
        if _NO_RIGHT.search(text):
            return f"the server does not let its user do what has to be done ({_RIGHTS}): {text}"
        if unknown := _UNKNOWN_COMMAND.search(text):
            return f"the server does not know {unknown[1]}: it must be Redis 7 or newer, or Valkey"
        if "DB index is out of range" in text or "SELECT is not allowed in cluster mode" in text:
            return f"the server has no such database: {text}"
    return ""


def reason(error: BaseException) -> str:
    """Why the server can't be used, in a sentence for clients: it tells no address, user or password."""
    if isinstance(error, ServerUnfit):
        return str(error)
    if said := _STALE.get(_first_word(error)) or _BUSY.get(_first_word(error)):
        return f"the job stream's server {said}"
    return next((sentence for applies, sentence in _REASONS if applies(error)), "the job stream can't be reached")


_REASONS: list[tuple[Callable[[BaseException], bool], str]] = [
    (is_out_of_memory, "the job stream is out of memory"),
    (
        lambda error: isinstance(error, AuthenticationError),
        "the job stream's server refuses the service's user or password",
    ),
    (
        lambda error: isinstance(error, ResponseError) and bool(bad_server(error)),
        "the job stream's server refuses a command that the service needs",
    ),
    (
        lambda error: isinstance(error, RedisTimeoutError | TimeoutError),
        "the job stream's server does not answer in time",
    ),
    (
        lambda error: isinstance(error.__context__, ssl.SSLCertVerificationError),
        "the certificate of the job stream's server is not trusted",
    ),
]


def _first_word(error: BaseException) -> str:
    for error_class, word in _CLASSES.items():
        if isinstance(error, error_class):
            return word
    return str(error).partition(" ")[0] if isinstance(error, ResponseError) else ""

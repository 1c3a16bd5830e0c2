"""Connections to a server whose address others know: Sentinels, or the nodes of a cluster.

Each new connection asks anew. So after a failover it is enough to open another one, as behind a fixed address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.stream.link.errors import UNAVAILABLE, WrongPlace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.server_url import ServerUrl

# Share of the time for opening a connection in which those who know the address may be asked, one after the other.
# Example: of 1.5 s, three Sentinels have 0.25 s each, so two that are gone leave time for the third and the server.
_ASKING_SHARE = 0.5
_USUAL_TIMEOUT_S = 2.0


class Finder:
    """Asks one after the other, first the one that has answered last. `options` are those of a connection."""

    def __init__(self, url: ServerUrl, options: Mapping[str, Any]) -> None:
        self._url = url
        self._asked = list(url.asked)
        timeout_s = options["socket_timeout"] or _USUAL_TIMEOUT_S
        limit_s = timeout_s * _ASKING_SHARE / len(self._asked)
        self._options = {**options, "db": 0, "socket_timeout": limit_s, "socket_connect_timeout": limit_s}

    async def address(self) -> tuple[str, int]:
        """Where the server is now.

        Raises redis-py's ConnectionError if nobody can say so now, and WrongPlace or AuthenticationError if all who are
        asked answer with one of these.
        """
        refusals: list[Exception] = []
        for place in tuple(self._asked):
            one = Redis(connection_pool=ConnectionPool(**self._options, host=place[0], port=place[1]))
            try:
                found = await self._answer(one, place)
            except (WrongPlace, AuthenticationError) as error:
                refusals.append(error)
                continue
            except UNAVAILABLE:
                continue
            finally:
                await one.aclose(close_connection_pool=True)
            if found is not None:
                self._asked.remove(place)
                self._asked.insert(0, place)
                return found
        if len(refusals) == len(self._asked):
            raise refusals[0]
        raise RedisConnectionError("nobody can say where the server is")

    async def _answer(self, one: Redis, place: tuple[str, int]) -> tuple[str, int] | None:
        raise NotImplementedError


class Sentinels(Finder):
    """Know the server by its name."""

    def __init__(self, url: ServerUrl, options: Mapping[str, Any]) -> None:
        user, password = url.sentinel_access
        super().__init__(url, {**options, "username": user or None, "password": password or None})

    async def _answer(self, one: Redis, _place: tuple[str, int]) -> tuple[str, int] | None:
        try:
            found = await one.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._url.service)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if "unknown command" in str(error):
                raise WrongPlace("it names servers that are no Sentinels") from None
            raise
        if not found:
            raise WrongPlace(f"its Sentinels know no server by the name {self._url.service!r}")
        host, port = found
        return _text(host), int(port)


class ClusterNodes(Finder):
    """Know which node has the keys of a queue: its keys are all in one slot, by the hash tag in them."""

    def __init__(self, url: ServerUrl, options: Mapping[str, Any], key: str) -> None:
        super().__init__(url, options)
        self._slot = key_slot(key.encode())

    async def _answer(self, one: Redis, place: tuple[str, int]) -> tuple[str, int] | None:
        try:
            ranges = await one.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if "cluster support disabled" in str(error):
                raise WrongPlace("it names servers that are no nodes of a cluster") from None
            raise
        for first, last, primary, *_ in ranges:
            if first <= self._slot <= last:
                # A node that knows no address of its own leaves it out.
                return _text(primary[0] or b"") or place[0], int(primary[1])
        return None


class _ToFound:
    """What a connection of redis-py lacks: it looks for the address before it connects."""

    host: str
    port: int

    def __init__(self, *, finder: Finder, **options: Any) -> None:
        super().__init__(**options)
        self._finder = finder

    async def connect(self) -> None:
        if not self.is_connected:  # type: ignore[attr-defined]
            self.host, self.port = await self._finder.address()
        await super().connect()  # type: ignore[misc]


class FoundConnection(_ToFound, Connection):
    """One to a server that was found."""


class FoundTlsConnection(_ToFound, SSLConnection):
    """The same with TLS: the certificate is that of the name, or the address, by which it was found."""


def found_pool(url: ServerUrl, options: Mapping[str, Any], key: str) -> ConnectionPool:
    """A pool of connections to the server that has `key`. `options` are what is the same for each."""
    parsed = {name: value for name, value in parse_url(url.server).items() if name not in ("host", "port")}
    is_tls = parsed.get("connection_class") is SSLConnection
    whole = {**options, "retry": Retry(NoBackoff(), 0), **parsed}
    finder = ClusterNodes(url, whole, key) if url.kind == "cluster" else Sentinels(url, whole)
    return ConnectionPool(
        **{**whole, "connection_class": FoundTlsConnection if is_tls else FoundConnection}, finder=finder
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

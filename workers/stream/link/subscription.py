"""One pub/sub connection that stays subscribed, to one channel or to several."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from arq.connections import ArqRedis
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.stream.link.connection import backoff_s, connect
from workers.stream.link.duplex import DuplexConnection, open_connection
from workers.stream.link.errors import is_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis.asyncio.connection import AbstractConnection

logger = logging.getLogger(__name__)

# A silent connection is probed this often, so that one that broke without a FIN or RST is noticed.
PROBE_INTERVAL_S = 5.0


class Subscription:
    """Listens to channels, reconnecting for as long as `run` runs.

    `on_message` has for each channel what gets its payloads, in the order in which they were published on any of them.
    Messages sent while the connection was down are lost (SUBSCRIBE is at most once), so `on_subscribed` is called after
    every subscribing: then the caller has to look again at what it waits for.
    """

    def __init__(
        self, url: str, on_message: Mapping[str, Callable[[bytes], None]], on_subscribed: Callable[[], None]
    ) -> None:
        self._url = url
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self.subscribed = asyncio.Event()
        self._listener: _Listener | None = None

    async def run(self) -> None:
        """Never returns; ends by cancellation, or by an error that does not mean that the server is unavailable."""
        waits = backoff_s()
        while True:
            try:
                await self._listen()
            except Exception as error:
                if not is_unavailable(error):
                    raise
                logger.debug("subscription to %s broke: %s", " ".join(self._on_message), error)
            finally:
                if self.subscribed.is_set():
                    waits = backoff_s()
                self.subscribed.clear()
            await asyncio.sleep(next(waits))

    def renew(self) -> None:
        """Subscribes over a new connection: another server may be behind the address by now."""
        if self._listener is not None:
            self._listener.close(RedisConnectionError("another server may be behind the address by now"))

    async def _listen(self) -> None:
        redis = connect(self._url, None, ArqRedis)
        listener = None
        try:
            # The handshake waits for answers, and this connection has no timeout of its own.
            async with asyncio.timeout(PROBE_INTERVAL_S):
                connection = await open_connection(redis.connection_pool)
            listener = self._listener = _Listener(connection, self._on_message, self._subscribed)
            await listener.run()
        finally:
            self._listener = None
            if listener is not None:
                listener.close(RedisConnectionError("the subscription was ended"))
                await listener.wait_closed()
            await redis.aclose(close_connection_pool=True)

    def _subscribed(self) -> None:
        self.subscribed.set()
        self._on_subscribed()


class _Listener(DuplexConnection):
    """A subscribed connection: messages are handed on as they are read."""

    def __init__(
        self,
        connection: AbstractConnection,
        on_message: Mapping[str, Callable[[bytes], None]],
        on_subscribed: Callable[[], None],
    ) -> None:
        super().__init__(connection)
        self._on_message = {channel.encode(): hear for channel, hear in on_message.items()}
        self._unconfirmed = len(on_message)
        self._on_subscribed = on_subscribed
        self._end: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._heard = True
        self.send("SUBSCRIBE", *on_message)

    async def run(self) -> None:
        """Never returns; raises why the connection has ended."""
        unanswered = 0
        while True:
            await asyncio.wait([self._end], timeout=PROBE_INTERVAL_S)
            if self._end.done():
                raise self._end.result()
            if self._heard:
                self._heard, unanswered = False, 0
                continue
            unanswered += 1
            if unanswered > 2:
                raise TimeoutError("no answer to PING")
            self.send("PING")

    def on_reply(self, reply: Any) -> None:
        self._heard = True
        if isinstance(reply, Exception):
            raise reply
        match reply:
            case [b"message", channel, payload]:
                self._on_message[channel](payload)
            case [b"subscribe", *_]:
                self._unconfirmed -= 1
                if not self._unconfirmed:
                    self._on_subscribed()

    def on_close(self, error: Exception) -> None:
        self._end.set_result(error)

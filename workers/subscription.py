"""One pub/sub connection that stays subscribed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from workers.connection import backoff_s, connect, is_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

# A silent connection is probed this often, so that one that broke without a word is noticed.
PROBE_INTERVAL_S = 5.0


class Subscription:
    """Listens to one channel, reconnecting for as long as `run` runs.

    `on_message` gets each payload. Messages sent while the connection was down are lost (SUBSCRIBE is
    at most once), so `on_subscribed` is called after every subscribing: look again at what you wait for.
    """

    def __init__(
        self, url: str, channel: str, on_message: Callable[[str], None], on_subscribed: Callable[[], None]
    ) -> None:
        self._url = url
        self._channel = channel
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self.subscribed = asyncio.Event()

    async def run(self) -> None:
        """Never returns; ends by cancellation, or by an error that is not the server's absence."""
        waits = backoff_s()
        while True:
            try:
                await self._listen()
            except Exception as error:
                if not is_unavailable(error):
                    raise
                logger.debug("subscription to %s broke: %s", self._channel, error)
            finally:
                if self.subscribed.is_set():
                    waits = backoff_s()
                self.subscribed.clear()
            await asyncio.sleep(next(waits))

    async def _listen(self) -> None:
        redis = connect(self._url, None)
        pubsub = redis.pubsub()
        try:
            # The handshake waits for answers, and this connection has no timeout of its own.
            async with asyncio.timeout(PROBE_INTERVAL_S):
                await pubsub.subscribe(self._channel)
            unanswered = 0
            while True:
                message = await pubsub.get_message(timeout=PROBE_INTERVAL_S)
                if message is None:
                    unanswered += 1
                    if unanswered > 2:
                        raise TimeoutError("no answer to PING")
                    await pubsub.ping()
                    continue
                unanswered = 0
                if message["type"] == "subscribe":
                    self.subscribed.set()
                    self._on_subscribed()
                elif message["type"] == "message":
                    self._on_message(message["data"].decode())
        finally:
            with contextlib.suppress(Exception):
                await pubsub.aclose()  # type: ignore[no-untyped-call]
            with contextlib.suppress(Exception):
                await redis.aclose(close_connection_pool=True)

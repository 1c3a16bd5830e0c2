"""Patience with a store that is away for a moment: neither an input nor what the model has computed is lost for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from workers.objects.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

# Pauses between tries, in seconds: a store that restarts is back within 20 s.
PAUSES_S = (1.0, 4.0, 15.0)

T = TypeVar("T")


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` returns, which is tried again while the store is away. Raises what it raises at last."""
    for pause_s in PAUSES_S:
        try:
            return await call()
        except StoreUnavailable as error:
            logger.warning("%s, again in %g s", error, pause_s)
            await asyncio.sleep(pause_s)
    return await call()

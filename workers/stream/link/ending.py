"""Ending tasks that run beside others."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

logger = logging.getLogger(__name__)

_AGAIN_S = 0.5


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancels the tasks and returns when they have ended. An exception of theirs is logged at the level DEBUG only."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        # Repeated, as until Python 3.12 `asyncio.wait_for`, which redis-py calls, may swallow a cancel.
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            logger.debug("the %s task failed", task.get_name(), exc_info=task.exception())

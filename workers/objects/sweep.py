"""Objects go with their jobs: a job's record expires by itself, and then nobody else would delete its objects."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from workers.objects.names import job_of, queue_prefix

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from workers.objects.store import ObjectStore

MIN_AGE_S = 3600.0
"""Younger objects stay: their job may be about to be pushed."""
_PAUSE_S = 0.05  # between two pages


async def sweep(
    store: ObjectStore,
    queue: str,
    which_exist: Callable[[Collection[str]], Awaitable[Collection[str]]],
    min_age_s: float = MIN_AGE_S,
) -> int:
    """Deletes objects of at least that age whose job does not exist (any more); how many. Raises StoreUnavailable.

    `which_exist` tells which of some ids are jobs'. Holds one page of the store's list at a time.
    """
    count = 0
    async for page in store.pages(queue_prefix(queue)):
        before_s = time.time() - min_age_s
        old = {view.key: job_of(queue, view.key) for view in page if view.modified_s <= before_s}
        if old:
            existing = set(await which_exist(set(old.values())))
            gone = [key for key, job_id in old.items() if job_id not in existing]
            await store.delete(gone)
            count += len(gone)
        await asyncio.sleep(_PAUSE_S)
    return count + await asyncio.to_thread(store.delete_remains, min_age_s)

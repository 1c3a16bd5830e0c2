"""Jobs as a user pushes them, and what a user relies on of each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.e2e.api import Api


async def results_of(api: Api, ids: list[str]) -> list[dict[str, Any]]:
    """All results, checked: one each, for the input that was pushed, at the first attempt."""
    results = await asyncio.gather(*map(api.result, ids))
    assert [result["id"] for result in results] == ids
    for result, status in zip(results, await asyncio.gather(*map(api.status, ids)), strict=True):
        assert result["output"].endswith(f"ran on {result['input']}")
        assert status["status"] == "finished"
        assert status["attempts"] == 1
    return results


async def push_many(api: Api, name: str, count: int) -> list[str]:
    """The ids of new jobs."""
    return list(await asyncio.gather(*(api.push(f"{name} {n}") for n in range(count))))

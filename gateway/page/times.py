"""How long jobs of a queue take, for `/metrics`: the same figures as the overview's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.page.overview import recent_steps, recent_times

if TYPE_CHECKING:
    from gateway.metrics import RecentTimes
    from workers.stream import Stream


async def queue_times(stream: Stream) -> RecentTimes:
    """The figures now. Raises what the stream raises."""
    return recent_times(await recent_steps(stream.overviews))

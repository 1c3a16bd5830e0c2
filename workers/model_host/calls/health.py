"""The model's own word on whether its process is still good: its method `health`, if it has one."""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.model_host.calls.event_loop import EventLoop

# Bodies of frames.
HEALTHY = b"true"
NOT_HEALTHY = b"false"


class HealthCheck:
    """Calls `model.health`."""

    def __init__(self, model: Any, loop: EventLoop) -> None:
        health = getattr(model, "health", None)
        self._health = health if callable(health) else None
        self._loop = loop

    @property
    def is_there(self) -> bool:
        """Whether the model has the method."""
        return self._health is not None

    def run(self) -> bytes:
        """NOT_HEALTHY if the model says False, otherwise HEALTHY. Raises what the model raises."""
        found = self._health() if self._health is not None else True
        if type(found) is CoroutineType:
            found = self._loop.run(found)
        return NOT_HEALTHY if found is False else HEALTHY

    async def run_in_loop(self) -> bytes:
        """As `run`, on the loop that runs."""
        found = self._health() if self._health is not None else True
        if type(found) is CoroutineType:
            found = await found
        return NOT_HEALTHY if found is False else HEALTHY

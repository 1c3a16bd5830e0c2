"""How many jobs may be with the model's processes, and why none can be run any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.model_host.errors import ModelCrashed, ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.model_host.slot import Slot


class Room:
    """Of processes that take several jobs each. `on_room` gets the number of jobs whenever it changes."""

    def __init__(self, slots: Sequence[Slot], on_room: Callable[[int], None]) -> None:
        self._slots = slots
        self._on_room = on_room
        self._jobs: int | None = None
        self.is_stopped = False

    def tell(self, jobs: int) -> None:
        """So many jobs may be here. A worker without room counts as one without a model."""
        jobs = max(jobs, 1) if any(slot.loaded for slot in self._slots) else 0
        if jobs != self._jobs:
            self._jobs = jobs
            self._on_room(jobs)

    def hopeless(self) -> ModelCrashed | ModelUnavailable | None:
        """Why a job that waits can't be run; None if it can."""
        if self.is_stopped:
            return ModelCrashed("the model's processes have been stopped")
        return ModelUnavailable("the model is broken") if all(slot.broken for slot in self._slots) else None

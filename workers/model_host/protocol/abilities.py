"""What a loaded model can do, as its process tells the worker."""

from __future__ import annotations

from typing import NamedTuple

import orjson


class Abilities(NamedTuple):
    """The first line of the frame that says that the model is loaded."""

    has_health: bool = False
    """Whether it has a method `health`."""
    max_batch_size: int = 0
    """How many inputs its `predict_batch` wants at most; 0 if it has none."""
    max_batch_wait_s: float = 0.0
    """Seconds that a batch waits for more inputs."""
    max_concurrency: int = 1
    """How many jobs its process may run at the same time; the setting has been heeded."""
    files: tuple[str, ...] = ()
    """Members of an input in which there may be files; an empty name is the whole input."""

    def packed(self) -> bytes:
        """The members as a JSON array."""
        return orjson.dumps(list(self))

    @classmethod
    def unpacked(cls, body: bytes) -> Abilities:
        """What `packed` was made of. Raises ValueError or TypeError for anything else."""
        has_health, size, wait_s, at_once, files = orjson.loads(body)
        return cls(has_health, size, wait_s, at_once, tuple(files))

"""Models for the tests that say themselves how they are, and which process they are in."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NoReturn

from tests.workers.models import Scripted
from workers.broken import Broken


class Moody(Scripted):
    """Its health is the mood that it was told; each call of `health` is a line in the file `HEALTH_FILE`."""

    def __init__(self) -> None:
        self.mood = "well"

    def be(self, mood: str) -> str:
        self.mood = mood
        return mood

    def break_down(self, *why: str) -> NoReturn:
        raise Broken(*why)

    def health(self) -> bool | None:
        with Path(os.environ["HEALTH_FILE"]).open("a") as file:
            file.write(f"{os.getpid()}\n")
        if self.mood == "unwell":
            return False
        if self.mood == "upset":
            raise RuntimeError("CUDA error")
        if self.mood == "at a loss":
            raise Broken("nothing works")
        if self.mood == "gone":
            os._exit(5)
        if self.mood == "rapt":
            time.sleep(600)
        return None


class AsyncMoody(Moody):
    """Says the same, asynchronously."""

    async def health(self) -> Any:  # type: ignore[override]
        return super().health()


class Named(Scripted):
    """Knows its index and its device: those that it was loaded with, and those of now."""

    def __init__(self) -> None:
        self.loaded_with = self.names()

    def loaded(self) -> dict[str, str | None]:
        return self.loaded_with

    def names(self) -> dict[str, str | None]:
        return {name: os.environ.get(name) for name in ("MODEL_PROCESS_INDEX", "CUDA_VISIBLE_DEVICES")}

"""Models with `predict_batch`. Each input says what is to become of it, and of the call that it is in."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, NoReturn

from tests.workers.models import tell
from workers.broken import Broken


class Together:
    """Takes up to four inputs, each the name of one of its methods and that method's arguments.

    What a method returns or raises stands in the input's place.
    """

    max_batch_size: Any = 4

    def predict_batch(self, inputs: list[Any]) -> Any:
        self.size = len(inputs)
        results = []
        for name, *arguments in inputs:
            if name.startswith("call_"):
                return getattr(self, name)(*arguments)
            try:
                results.append(getattr(self, name)(*arguments))
            except Exception as error:  # noqa: BLE001
                results.append(error)
        return results

    def echo(self, value: Any) -> Any:
        return value

    def count(self, _which: Any = None) -> int:
        """How many inputs the call has."""
        return self.size

    def pid(self) -> int:
        return os.getpid()

    def fail(self, message: str) -> NoReturn:
        raise LookupError(message)

    def ask_again(self, defer_s: float) -> NoReturn:
        from arq.worker import Retry

        raise Retry(defer_s)

    def break_down(self, why: str) -> NoReturn:
        raise Broken(why)

    def no_json(self) -> object:
        return object()

    def long(self, size: int) -> str:
        return "x" * size

    # what becomes of the whole call

    def call_fails(self, message: str) -> NoReturn:
        raise LookupError(message)

    def call_dies(self) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def call_exits(self, why: str) -> NoReturn:
        sys.exit(why)

    def call_hangs(self, file: str) -> None:
        """Tells its pid in `file`."""
        tell(file, os.getpid())
        time.sleep(600)

    def call_waits(self, file: str, until: str) -> list[int]:
        """Tells its pid in `file`, and returns once the file `until` exists."""
        tell(file, os.getpid())
        while not os.path.exists(until):
            time.sleep(0.01)
        return [self.size] * self.size

    def call_returns(self, returned: Any) -> Any:
        return returned


class BothWays(Together):
    """Takes one input alone by `predict`."""

    def predict(self, input: Any) -> Any:  # noqa: A002
        return ["alone", input]


class AsyncTogether(Together):
    async def predict_batch(self, inputs: list[Any]) -> Any:
        return super().predict_batch(inputs)


class Doubles:
    """Takes whole numbers only. It says no size of its batches."""

    def predict_batch(self, inputs: list[int]) -> list[int]:
        return [2 * number for number in inputs]


class Unhurried(Together):
    """Waits for a full batch."""

    max_batch_wait_s = 600.0


class TwoLists:
    def predict_batch(self, inputs: list[Any], others: list[Any]) -> list[Any]:
        return inputs + others


class NoList:
    def predict_batch(self, inputs: dict[str, int]) -> dict[str, int]:
        return inputs


class WrongSize(Together):
    max_batch_size = "many"


class WrongWait(Together):
    max_batch_wait_s = -1


class StickyTogether(Together):
    """Fails every job once it was told to."""

    def __init__(self) -> None:
        self.is_broken = False

    def predict_batch(self, inputs: list[Any]) -> Any:
        if self.is_broken:
            return [RuntimeError("CUDA error")] * len(inputs)
        return super().predict_batch(inputs)

    def be_broken(self) -> None:
        self.is_broken = True

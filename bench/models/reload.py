"""The model of `python -m bench reload`: an array of numpy, of `MODEL_BYTES` bytes."""

from __future__ import annotations

import os
import time

import numpy as np


class WeighsMuch:
    """Answers with the time at which it was called."""

    def __init__(self) -> None:
        self.array = np.arange(int(os.environ["MODEL_BYTES"]) // 8)

    def predict(self, seconds: float) -> tuple[float, int, int]:
        """The clock's seconds at the start, the process's id, and the sum of the weights, after that many seconds."""
        began_s = time.monotonic()
        total = int(self.array.sum())
        time.sleep(seconds)
        return began_s, os.getpid(), total

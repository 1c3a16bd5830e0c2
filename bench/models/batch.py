"""The models of `python -m bench batches`: a fixed time for each call, and a little more for each input."""

from __future__ import annotations

import os
import time
from typing import Any


class OneByOne:
    """Takes one input in a call, as a network on a GPU does that is asked without batching."""

    def __init__(self) -> None:
        self.call_s, self.input_s = float(os.environ["CALL_S"]), float(os.environ["INPUT_S"])

    def predict(self, input: Any) -> Any:  # noqa: A002
        """The input, after the time of a call."""
        time.sleep(self.call_s + self.input_s)
        return input


class InBatches(OneByOne):
    """Takes several."""

    def predict_batch(self, inputs: list[Any]) -> list[Any]:
        """The inputs, after the time of a call with so many."""
        time.sleep(self.call_s + self.input_s * len(inputs))
        return inputs

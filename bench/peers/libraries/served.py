"""The models that each library serves in `serving`. The environment says how long a call takes: CALL_S."""

from __future__ import annotations

import os
import time
from typing import Any

# Such as a network of 8 layers of 1,024 x 1,024: one input reads all weights, and so does a batch.
_LAYERS, _WIDTH = 8, 1024


class Sleeper:
    """Answers its input after a while, or at once."""

    def __init__(self) -> None:
        self._call_s = float(os.environ.get("CALL_S", "0"))

    def predict(self, input: Any) -> Any:  # noqa: A002
        """One input."""
        if self._call_s:
            time.sleep(self._call_s)
        return input


class Network:
    """A network in numpy that takes as many inputs in a call as it gets."""

    max_batch_size = 64

    def __init__(self) -> None:
        import numpy as np

        self._np = np
        self._layers = np.random.default_rng(7).normal(0, 0.04, (_LAYERS, _WIDTH, _WIDTH)).astype(np.float32)

    def predict_batch(self, inputs: list[Any]) -> list[float]:
        """A number for each input."""
        values = self._np.ones((len(inputs), _WIDTH), self._np.float32)
        for layer in self._layers:
            values = self._np.maximum(values @ layer, 0)
        return [float(value) for value in values.sum(axis=1)]

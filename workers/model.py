"""The toy model: replace this file with yours.

Any class of this shape works: a blocking constructor that loads, and a blocking `predict` that takes one
JSON value and returns another, such as `{"output": ..., "input": ...}`. It runs in a process of its own, so it may hold
the GIL, crash or be stopped without harm to anything but the job at hand.
"""

from __future__ import annotations

import os
import time
import uuid
from typing import Any


def setup_time() -> float:
    """Seconds that loading takes: `MODEL_SETUP_S`, 30 by default."""
    return float(os.environ.get("MODEL_SETUP_S", "30"))


def predict_time() -> float:
    """Seconds that one prediction takes: `MODEL_PREDICT_S`, 5 by default."""
    return float(os.environ.get("MODEL_PREDICT_S", "5"))


class Model:
    """Sleeps where a real model would load and compute."""

    def __init__(self) -> None:
        time.sleep(setup_time())
        self.uuid = str(uuid.uuid4())

    def predict(self, input: Any) -> dict[str, Any]:  # noqa: A002
        """Answers with an output that names this instance and the input.

        An input `{"service_s": SECONDS}` takes that long: so the load generator replays the times of a trace.
        """
        asked = input.get("service_s") if isinstance(input, dict) else None
        time.sleep(asked if isinstance(asked, int | float) and asked >= 0 else predict_time())
        return {"output": f"model {self.uuid} ran on {input}", "input": input}

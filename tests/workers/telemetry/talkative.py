"""A model that prints, logs and raises."""

from __future__ import annotations

import logging
import sys
import threading

logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")


class Talkative:
    """Says much."""

    def __init__(self) -> None:
        sys.stdout.write("loading\n")

    def predict(self, text: str) -> str:
        sys.stdout.write(f"printed {text}\n")
        sys.stdout.write(f"two lines\nof {text}\n")
        logging.getLogger("own").info("logged %s", text)
        thread = threading.Thread(target=sys.stdout.write, args=(f"of a thread {text}\n",))
        thread.start()
        thread.join()
        sys.stderr.write("10 %\r20 %\r")
        sys.stderr.flush()
        sys.stderr.write("done\r\n")
        sys.stdout.write(f"half of {text}")
        if text == "bad":
            raise ValueError("raised")
        return text


class TalkativeTogether:
    """Says one thing of several inputs."""

    max_batch_size = 3
    max_batch_wait_s = 10.0

    def predict_batch(self, inputs: list[str]) -> list[str]:
        sys.stdout.write(f"printed {len(inputs)}\n")
        return inputs

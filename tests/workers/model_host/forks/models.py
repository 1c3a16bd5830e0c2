"""Models for the tests of forks: what their constructors leave in the process."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.workers.models import Scripted
from workers.broken import Broken


class Weights(Scripted):
    """Counts its loads in the file `LOADS_FILE`, a line each, and knows which of them it comes from."""

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        with Path(os.environ["LOADS_FILE"]).open("a") as file:
            file.write(f"{os.getpid()}\n")

    def weights(self) -> str:
        return self.id


class Threaded(Weights):
    """Starts a thread."""

    def __init__(self) -> None:
        super().__init__()
        threading.Thread(target=threading.Event().wait, name="prefetcher", daemon=True).start()


class ThreadedUnlessForked(Weights):
    """Its thread ends before a fork, as those of OpenBLAS do."""

    def __init__(self) -> None:
        super().__init__()
        end = threading.Event()
        thread = threading.Thread(target=end.wait)
        thread.start()

        def before() -> None:
            end.set()
            thread.join()

        os.register_at_fork(before=before)


class WithEventLoop(Weights):
    """Makes an event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()


class BrokenAtFirst(Weights):
    """Can't answer if the file that `BROKEN_FILE` names was there while it was loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.is_broken = Path(os.environ["BROKEN_FILE"]).exists()

    def predict(self, input: Any) -> Any:  # noqa: A002
        if self.is_broken:
            raise Broken("it was from the beginning")
        return super().predict(input)


class BrokenAtTimes(Weights):
    """Fails every job while that file exists."""

    def predict(self, input: Any) -> Any:  # noqa: A002
        if Path(os.environ["BROKEN_FILE"]).exists():
            raise RuntimeError("CUDA error")
        return super().predict(input)


class OnDevice(Weights):
    """Has initialized CUDA, as far as a module named torch can tell."""

    def __init__(self) -> None:
        super().__init__()
        cuda = SimpleNamespace(is_initialized=lambda: True)
        sys.modules["torch"] = SimpleNamespace(cuda=cuda)  # type: ignore[assignment]


class AsyncWeights(Weights):
    """Its `predict` waits on an event loop."""

    async def predict(self, input: Any) -> Any:  # noqa: A002
        await asyncio.sleep(0)
        return super().predict(input)


class Crowded(Weights):
    """There is no memory for a fork while the file that `CROWDED_FILE` names exists: it says who has none."""

    def __init__(self) -> None:
        super().__init__()
        template, fork = os.getpid(), os.fork

        def fork_in_need() -> int:
            file = Path(os.environ["CROWDED_FILE"])
            if file.exists() and (file.read_text() == "template") == (os.getpid() == template):
                raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
            return fork()

        os.fork = fork_in_need

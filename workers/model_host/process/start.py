"""How a model's process is started: with Python anew, so that it loads the model by itself.

The other way is a fork of a process that has the model loaded: `workers.model_host.forks`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import orjson

from workers.model_host.process.variables import variables_of
from workers.process.secrets import without_secrets

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from workers.model_host.guard.leash import Leash
    from workers.model_host.options import ModelOptions

    Start: TypeAlias = Callable[[socket.socket, socket.socket, Leash], Awaitable["StartedProcess"]]
    """Starts a guardian with a model's process.

    It gets the ends of their connections, which its caller closes, and the guardian's leash. Raises OSError and
    ModelNotForked.
    """

# The parent's sys.path comes first, so that `workers` and the model are found wherever the parent found them.
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])['path']; "
    "from workers.model_host.child.main import main; main()"
)


class StartedProcess(Protocol):
    """A guardian that runs, as `asyncio.subprocess.Process`."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def returncode(self) -> int | None:
        """None until `wait` has returned; then the exit code, or minus the signal."""

    async def wait(self) -> int:
        """Returns that code when it has ended."""


class Starts(Protocol):
    """Where the processes of a host come from."""

    @property
    def is_fast(self) -> bool:
        """Whether the processes that it starts have the model loaded."""

    async def start_of(self, index: int) -> Start:
        """What starts the process with this index. Waits until a process can be started."""

    def renew(self, started_s: float) -> None:
        """A process that was started at this time (`time.monotonic()`) is of no use: others should not be like it."""


class SlowStarts:
    """Each process loads the model by itself."""

    is_fast = False

    def __init__(self, options: ModelOptions) -> None:
        self._options = options

    async def start_of(self, index: int) -> Start:
        """What starts the process with this index."""
        return partial(start, self._options, variables_of(index, self._options.devices))

    def renew(self, started_s: float) -> None:
        """Nothing is to be done: each process is a new one."""


async def start(
    options: ModelOptions,
    variables: dict[str, str],
    connection: socket.socket,
    control: socket.socket,
    _leash: Leash,
    requests: socket.socket | None = None,
) -> StartedProcess:
    """Starts Python, with these variables in its environment. With `requests` it becomes a template for forks."""
    told: dict[str, Any] = {
        "model": options.model,
        "memory_limit_bytes": options.memory_limit_bytes,
        "max_result_bytes": options.max_result_bytes,
        "max_concurrency": options.max_concurrency,
        "log": [options.log_format, options.queue],
        "fd": connection.fileno(),
        "control": control.fileno(),
        "parent": os.getpid(),
        "path": sys.path,
        "requests": None if requests is None else requests.fileno(),
    }
    kept = [end.fileno() for end in (connection, control, requests) if end is not None]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START, orjson.dumps(told)),
        stdin=asyncio.subprocess.DEVNULL,
        env={**without_secrets(os.environ), **variables},
        pass_fds=kept,
        start_new_session=True,
    )

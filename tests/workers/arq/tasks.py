"""Tasks as an arq user writes them, for `python -m workers.run tests.workers.arq.tasks.TaskSettings`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


async def double(ctx: dict[str, Any], n: int) -> int:
    return 2 * n


async def leave_an_exit(ctx: dict[str, Any]) -> None:
    async def leave() -> None:
        await asyncio.sleep(0)
        sys.exit(7)

    ctx["worker"].left = asyncio.create_task(leave())


async def startup(ctx: dict[str, Any]) -> None:
    ctx["made_at_startup"] = True


class TaskSettings:
    """What `arq` takes."""

    functions = (double,)
    on_startup = startup
    queue_name = "arq:queue"
    max_jobs = 3


class Leaving:
    """With a function that leaves something behind."""

    functions = (double, leave_an_exit)
    queue_name = "arq:queue"


class OwnHealthKey(TaskSettings):
    """arq reads a class's own members only."""

    functions = (double,)
    queue_name = "arq:queue"
    health_check_key = "mine"


class Refused:
    """With something that can't be honoured."""

    functions = (double,)
    job_serializer = repr

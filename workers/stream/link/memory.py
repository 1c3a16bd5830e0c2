"""The server's memory: whether it may evict jobs, and whether it is nearly full."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from redis.exceptions import ResponseError

from workers.stream.link.errors import ServerUnfit
from workers.stream.link.pipeline import Lane

if TYPE_CHECKING:
    from workers.stream.link.pipeline import PipelinedRedis

logger = logging.getLogger(__name__)

# An operator may change the policy at any time. INFO takes the server some 50 microseconds.
LOOK_EVERY_S = 5.0
# Long enough before pushes are refused to do something about it.
NEARLY_FULL = 0.8
NO_EVICTION = "noeviction"


class ServerMemory(NamedTuple):
    """What INFO says of the whole server, other users' data included."""

    used_bytes: int | None
    max_bytes: int
    """`maxmemory`; 0 is no limit."""
    policy: str
    """`maxmemory-policy`."""


class MemoryWatch:
    """Looks at the server's memory every few seconds, and logs what has changed.

    `memory` is what was last seen (None: the server's ACL lets nobody ask). `refusal` says why no job may be trusted to
    the server, or is empty; `warnings` are sentences about what may become a fault.
    """

    def __init__(self, redis: PipelinedRedis) -> None:
        self._redis = redis
        self._looking = asyncio.Lock()
        self._next_s = 0.0
        self.memory: ServerMemory | None = None
        self.refusal = ""
        self.warnings: tuple[str, ...] = ()

    async def look(self) -> None:
        """Looks, if it is time to. Raises what the server's absence raises."""
        if time.monotonic() < self._next_s:
            return
        async with self._looking:
            if time.monotonic() < self._next_s:
                return
            self.memory = await _ask(self._redis)
            self._next_s = time.monotonic() + LOOK_EVERY_S
        self._judge(self.memory)

    async def check(self) -> None:
        """Looks, if it is time to. Raises ServerUnfit while there is a `refusal`."""
        await self.look()
        if self.refusal:
            raise ServerUnfit(self.refusal)

    def _judge(self, memory: ServerMemory | None) -> None:
        refusal, warnings = "", []
        if memory is None:
            warnings.append(
                "whether the job stream's server may evict jobs is unknown: its ACL refuses INFO and CONFIG GET"
            )
        elif memory.max_bytes and memory.policy != NO_EVICTION:
            refusal = (
                f"the job stream's server may evict jobs: its maxmemory-policy is {memory.policy}, "
                f"and must be {NO_EVICTION}"
            )
        elif memory.max_bytes and memory.used_bytes is not None:
            if memory.used_bytes >= memory.max_bytes:
                warnings.append("the job stream's server is out of memory: pushes are refused")
            elif memory.used_bytes >= NEARLY_FULL * memory.max_bytes:
                warnings.append(f"the memory of the job stream's server is more than {NEARLY_FULL:.0%} full")
        if refusal and not self.refusal:
            logger.error("%s", refusal)
        elif self.refusal and not refusal:
            logger.info("the job stream's server evicts nothing any more")
        for warning in warnings:
            if warning not in self.warnings:
                logger.warning("%s", warning)
        self.refusal, self.warnings = refusal, tuple(warnings)


async def _ask(redis: PipelinedRedis) -> ServerMemory | None:
    try:
        text = bytes(await redis.call(Lane.CALLS, "INFO", "memory")).decode(errors="replace")
        fields = dict(re.findall(r"^(\w+):(\S+)\r?$", text, re.MULTILINE))
    except ResponseError:
        fields = {}
    if "maxmemory_policy" in fields:
        return ServerMemory(int(fields["used_memory"]), int(fields["maxmemory"]), fields["maxmemory_policy"])
    try:
        flat = [bytes(item).decode() for item in await redis.call(Lane.CALLS, "CONFIG", "GET", "maxmemory*")]
    except ResponseError:
        return None
    config = dict(zip(flat[::2], flat[1::2], strict=True))
    if "maxmemory-policy" not in config:
        return None
    return ServerMemory(None, int(config["maxmemory"]), config["maxmemory-policy"])

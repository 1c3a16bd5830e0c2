"""What a scaler keeps in Redis, so that it goes on after a restart."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from workers.scaler.policy import State  # noqa: TC001 - pydantic reads it

logger = logging.getLogger(__name__)

_VERSION = 1


class Verdict(BaseModel):
    """A decision as it is told to others: `at_ms` is when what it is based on was seen, by the server's clock.

    `rate` is in jobs per second. `held` says that it is an older decision, for want of anything newer to go by.
    """

    model_config = ConfigDict(frozen=True)

    replicas: int = Field(ge=0)
    reason: str
    rate: float = 0.0
    at_ms: int = 0
    held: bool = False


class Memory(BaseModel):
    """The policy's state, and how far the counts behind it have been read."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    now_s: float
    state: State
    verdict: Verdict
    count: int
    arrived: int
    services_seen: dict[str, int]


def _version() -> str:
    # A state of another shape, another release's, is no state.
    schema = orjson.dumps(Memory.model_json_schema(), option=orjson.OPT_SORT_KEYS)
    return f"{_VERSION}-{hashlib.sha256(schema).hexdigest()[:12]}"


VERSION = _version()


def dump(memory: Memory) -> bytes:
    """JSON: {"version", "memory"}. Raises ValueError if the state is not of the types that it says it is of."""
    try:
        return b'{"version":"%b","memory":%b}' % (VERSION.encode(), memory.model_dump_json(warnings="error").encode())
    except PydanticSerializationError as error:
        raise ValueError(f"the state can't be written: {error}") from error


def load(data: bytes) -> Memory | None:
    """What `dump` wrote; None, and a line in the log, for what is of another release or damaged."""
    if not data:
        return None
    try:
        document: Any = orjson.loads(data)
        version, memory = document["version"], document["memory"]
        if version != VERSION:
            logger.warning("the state in Redis is of another version (%s, not %s): starting anew", version, VERSION)
            return None
        return Memory.model_validate(memory, strict=None)
    except (ValidationError, ValueError, TypeError, KeyError) as error:
        logger.warning("the state in Redis can't be read (%s): starting anew", str(error).replace("\n", " "))
        return None


def verdict_of(data: bytes) -> Verdict | None:
    """A decision that was told; None for none, or what is none."""
    try:
        return Verdict.model_validate_json(data) if data else None
    except ValidationError:
        return None

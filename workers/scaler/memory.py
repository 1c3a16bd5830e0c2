"""What a scaler keeps in Redis, as JSON: its decision for the scalers that follow, and its memory for a restart.

During a rolling update two releases read each other's. A decision may have more or fewer fields than this release
knows: unknown ones are ignored, missing ones have their defaults. A memory of another shape is no memory.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Annotated, Any, TypeAlias

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from workers.scaler.policy import Decision, State

logger = logging.getLogger(__name__)

_VERSION = 4


def _not_negative(decision: Decision) -> Decision:
    if decision.replicas < 0:
        raise ValueError("a number of replicas is not negative")
    return decision


_Decision: TypeAlias = Annotated[Decision, AfterValidator(_not_negative)]
_DECISION: TypeAdapter[Decision] = TypeAdapter(_Decision)


class Memory(BaseModel):
    """The policy's state, and how far the counts behind it have been read."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    now_s: float
    state: State
    decision: _Decision
    count: int
    arrived: int
    services_seen: dict[str, int]


def _version() -> str:
    # Without docstrings, which may change.
    schema = orjson.dumps(_undescribed(Memory.model_json_schema()), option=orjson.OPT_SORT_KEYS)
    return f"{_VERSION}-{hashlib.sha256(schema).hexdigest()[:12]}"


def _undescribed(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _undescribed(value) for name, value in node.items() if name != "description"}
    return [_undescribed(item) for item in node] if isinstance(node, list) else node


VERSION = _version()


def dump(memory: Memory) -> bytes:
    """Returns JSON: {"version", "memory"}. Raises ValueError if the state is not of its declared types."""
    try:
        return b'{"version":"%b","memory":%b}' % (VERSION.encode(), memory.model_dump_json(warnings="error").encode())
    except PydanticSerializationError as error:
        raise ValueError(f"the state can't be written: {error}") from error


def load(data: bytes) -> Memory | None:
    """Returns what `dump` wrote; None, and a line in the log, for what is of another release or damaged."""
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


def dump_decision(decision: Decision) -> bytes:
    """Returns JSON: an object of the decision's fields."""
    return _DECISION.dump_json(decision)


def load_decision(data: bytes) -> Decision | None:
    """Returns what `dump_decision` of this or another release wrote; None for anything else."""
    try:
        return _DECISION.validate_json(data) if data else None
    except ValidationError:
        return None

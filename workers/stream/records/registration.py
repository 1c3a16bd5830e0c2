"""What workers register: themselves, and the schemas of their models."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# What a worker registers whose model takes any JSON, as the function in schemas.lua knows it.
ANY_SCHEMA = "any"


class Registered(NamedTuple):
    """What a worker's heartbeat is told."""

    wants_schema: bool
    """The schema that it names is to be published first (`publish_schema`)."""
    is_idle: bool
    """It is registered as idle, so it will be woken."""
    is_overdue: bool
    """Nobody has swept for long."""
    workers: int
    """How many workers live."""


class WorkerView(NamedTuple):
    """A live worker's registration: `state` is starting, idle, busy or stopping."""

    id: str
    fields: dict[str, str]

    @classmethod
    def from_reply(cls, worker: bytes, flat: Sequence[bytes]) -> WorkerView:
        """Reads one item of the reply of `workers`."""
        texts = [item.decode() for item in flat]
        return cls(worker.decode(), dict(zip(texts[::2], texts[1::2], strict=True)))


class SchemaView(NamedTuple):
    """A published schema of a model: how long ago it was first published, and last renewed. `text` is its JSON.

    `text` is empty if it was not asked for, and of the digest `any`, which stands for models that take any JSON.
    """

    digest: str
    since_ms: int
    seen_ms: int
    text: bytes

    @property
    def is_any(self) -> bool:
        """Whether it stands for models that take any JSON."""
        return self.digest == ANY_SCHEMA

    @classmethod
    def from_reply(cls, row: Sequence[bytes]) -> SchemaView:
        """Reads one item of the reply of `schemas`."""
        digest, since_ms, seen_ms, text = row
        return cls(digest.decode(errors="replace"), int(since_ms), int(seen_ms), text)

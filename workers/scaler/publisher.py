"""Writes a leader's decision and memory into Redis, and reads the memory when a scaler comes to lead."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workers.scaler.jobs import reading_stream
from workers.scaler.memory import dump, dump_decision, load
from workers.scaler.reporting.facts import dump_facts
from workers.stream import is_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workers.scaler.memory import Memory
    from workers.scaler.policy import Decision, Options
    from workers.scaler.reporting.facts import BudgetShare
    from workers.stream import Stream

_DECISION_S = 5.0
_MEMORY_S = 10.0


class Publisher:
    """Publishes a decision that has changed at once and any other every 5 s, with the facts, and the memory every 10 s.

    `on_unwritable` is told if the memory is not of the types that it should be of.
    """

    def __init__(self, stream: Stream, options: Options, on_unwritable: Callable[[str], None]) -> None:
        self._stream = stream
        self._options = options
        self._on_unwritable = on_unwritable
        self._published: Decision | None = None
        self._published_s = self._saved_s = 0.0

    async def restore(self) -> Memory | None:
        """Returns the memory that was last written, if it can be used. Raises ObservationError."""
        with reading_stream():
            memory = load(await self._stream.remembered())
        self._saved_s = time.monotonic()
        return memory

    async def publish(
        self,
        decision: Decision,
        memory: Memory | None,
        share: BudgetShare | None = None,
        parts_s: Mapping[str, float] | None = None,
        final: bool = False,
    ) -> None:
        """Writes what is due, or all if it is `final`, as far as Redis can be reached."""
        now_s, fields = time.monotonic(), {}
        if final or self._changed(decision) or now_s - self._published_s >= _DECISION_S:
            fields["decision"] = dump_decision(decision)
            if memory is not None:
                fields["facts"] = dump_facts(memory.state, self._options, share, parts_s)
        if memory is not None and (final or now_s - self._saved_s >= _MEMORY_S):
            try:
                fields["state"] = dump(memory)
            except ValueError as error:
                self._on_unwritable(str(error))
        if not fields:
            return
        try:
            await self._stream.remember(**fields)
        except Exception as error:
            if not is_unavailable(error):
                raise
            return
        if "decision" in fields:
            self._published, self._published_s = decision, now_s
        if "state" in fields:
            self._saved_s = now_s

    def _changed(self, decision: Decision) -> bool:
        last = self._published
        return last is None or (decision.replicas, decision.held) != (last.replicas, last.held)

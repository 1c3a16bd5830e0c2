"""What the answer to a job says, as the worker reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from workers.model_host.errors import InputInvalid, ModelAskedAgain, ModelCrashed, ModelRaised
from workers.model_host.protocol.batch_body import unpacked_answers
from workers.model_host.protocol.frames import AGAIN, BROKEN, ERROR, EXIT, INVALID, OUT_OF_MEMORY, RESULT

if TYPE_CHECKING:
    from workers.model_host.protocol.frames import Frame

Outcome: TypeAlias = bytes | ModelRaised | ModelAskedAgain
BatchOutcome: TypeAlias = Outcome | ModelCrashed


class ProcessEnds(Exception):  # noqa: N818
    """The process is at its end. The message says how, as what follows "the model's process"."""


def outcome_of(answer: Frame, memory_limit_bytes: int) -> Outcome:
    """The result, or what is to be raised.

    Raises ProcessEnds, and ValueError or TypeError for what is no answer to a job.
    """
    if answer.kind == RESULT:
        return answer.body
    if answer.kind == OUT_OF_MEMORY:
        limit = f" (limit {memory_limit_bytes} bytes)" if memory_limit_bytes else ""
        raise ProcessEnds(_joined(f"ran out of memory{limit}", answer.body.decode(errors="replace")))
    first, second = orjson.loads(answer.body)
    if answer.kind == ERROR:
        return ModelRaised(first, second)
    if answer.kind == INVALID:
        return InputInvalid(first, second)
    if answer.kind == AGAIN:
        return ModelAskedAgain(first, second)
    if answer.kind == BROKEN:
        raise ProcessEnds(_joined("said that it is broken", second))
    if answer.kind == EXIT:
        raise ProcessEnds(_joined(f"exited with code {first}", second))
    raise ValueError(answer.kind)


def outcomes_of(answer: Frame, jobs: int, memory_limit_bytes: int) -> list[Outcome | ProcessEnds]:
    """The outcomes of a batch of so many jobs, in their order. Raises ValueError or TypeError as `outcome_of` does."""
    outcomes: list[Outcome | ProcessEnds] = []
    for kind, body in unpacked_answers(answer.body, jobs):
        try:
            outcomes.append(outcome_of(answer._replace(kind=kind, body=body), memory_limit_bytes))
        except ProcessEnds as end:
            outcomes.append(end)
    return outcomes


def _joined(how: str, message: Any) -> str:
    return f"{how}: {message}" if message else how

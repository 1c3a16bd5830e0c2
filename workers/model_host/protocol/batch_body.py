"""The bodies of the two frames of a batch: the inputs of several jobs, and an outcome for each, in the same order."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from workers.wire.decode import loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workers.model_host.protocol.job_at_hand import JobAtHand

    Answer: TypeAlias = tuple[bytes, bytes]
    """The kind and the body of the frame that would answer the job if it were alone."""

# Before each outcome's body: its kind and its length.
_HEAD = struct.Struct(">cI")


class BatchInput(NamedTuple):
    """The input of one of the jobs, whose files are in the folder; that is empty if there is no place for any."""

    job_id: str
    attempt: int
    folder: str
    traceparent: str
    value: Any


def packed_inputs(jobs: Iterable[JobAtHand], inputs: Iterable[bytes]) -> bytes:
    """A line of JSON with what each job is, then one JSON array of the inputs, which are JSON."""
    of_jobs = [(job.id, job.attempt, job.folder, job.traceparent) for job in jobs]
    return b"%b\n[%b]" % (orjson.dumps(of_jobs), b",".join(inputs))


def unpacked_inputs(body: bytes) -> list[BatchInput]:
    """The inputs, in the order of their jobs."""
    line, _, inputs = body.partition(b"\n")
    jobs = zip(orjson.loads(line), loads(inputs), strict=True)
    return [BatchInput._make((*of_job, value)) for of_job, value in jobs]


def packed_answers(answers: Sequence[Answer]) -> bytes:
    """The outcomes, one after the other."""
    return b"".join(part for kind, body in answers for part in (_HEAD.pack(kind, len(body)), body))


def unpacked_answers(body: bytes, count: int) -> list[Answer]:
    """The outcomes. Raises ValueError unless there are `count` of them, each as a whole."""
    answers, at = [], 0
    while at < len(body):
        try:
            kind, size = _HEAD.unpack_from(body, at)
        except struct.error as error:
            raise ValueError(str(error)) from None
        at += _HEAD.size + size
        answers.append((kind, body[at - size : at]))
    if at != len(body) or len(answers) != count:
        raise ValueError(f"{len(answers)} outcomes in {len(body)} bytes, of {count} jobs")
    return answers

"""Jobs in a worker's hands: claimed, held ahead, and finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from workers.stream.records.options import NO_OPTIONS, JobOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Claimed(NamedTuple):
    """A job that this worker holds a lease on, its attempt already counted."""

    id: str
    entry: str
    function: str
    args: bytes
    kwargs: bytes
    attempt: int
    queued_ms: int
    options: JobOptions = NO_OPTIONS
    is_plain: bool = False
    """Its first attempt, and its record has nothing but what each has, and perhaps an owner."""

    @property
    def traceparent(self) -> str:
        """The trace that its push was part of; empty without one."""
        return self.options.traceparent or ""

    @classmethod
    def from_reply(cls, flat: Sequence[bytes]) -> list[Claimed]:
        """Reads the reply of `claim`: four items a plain job, nine another."""
        found, at = [], 0
        while at < len(flat):
            is_plain = flat[at] != b""
            if is_plain:
                job_id, entry, function, args = flat[at : at + 4]
                kwargs, attempt, queued, options = b"", b"1", entry.partition(b"-")[0], b""
                at += 4
            else:
                job_id, entry, function, args, kwargs, attempt, queued, options = flat[at + 1 : at + 9]
                at += 9
            found.append(
                cls(
                    job_id.decode(), entry.decode(), function.decode(), args, kwargs, int(attempt), int(queued),
                    JobOptions.from_json(options), is_plain,
                )
            )  # fmt: skip
        return found

    @classmethod
    def from_message(cls, message: bytes) -> Claimed:
        """Reads the message by which a push hands a job over (`hand_over` in push.lua), without its leading 'run'."""
        entry, queued_ms, id_bytes, function_bytes, args_bytes, kwargs_bytes, texts = message.split(b" ", 6)
        id_end = int(id_bytes)
        function_end = id_end + int(function_bytes)
        args_end = function_end + int(args_bytes)
        kwargs_end = args_end + int(kwargs_bytes)
        return cls(
            texts[:id_end].decode(), entry.decode(), texts[id_end:function_end].decode(),
            texts[function_end:args_end], texts[args_end:kwargs_end], 1, int(queued_ms),
            JobOptions.from_json(texts[kwargs_end:]),
        )  # fmt: skip

    @classmethod
    def from_messages(cls, message: bytes) -> list[Claimed]:
        """Reads the message by which a push has more jobs held ahead (`hand_over_ahead`), without its leading 'hold'.

        Before each job are its bytes.
        """
        found, at = [], 0
        while at < len(message):
            begin = message.index(b" ", at) + 1
            end = begin + int(message[at : begin - 1])
            found.append(cls.from_message(message[begin:end]))
            at = end
        return found


class ClaimCall(NamedTuple):
    """What a worker claims: at most so many jobs, while it runs `running` others. See `Stream.claim`.

    In `Stream.finish_and_claim`: how many more it wants to hold `ahead`, beside those that are `held`; -1: it has held
    none. There -1 for `most` claims nothing.
    """

    most: int
    running: int = 0
    ready_ms: int = 0
    max_attempts: int = 5
    attempts_of: Mapping[str, int] | None = None
    ahead: int = 0
    held: int = -1


class AheadStart(NamedTuple):
    """A job that was held ahead and that its worker has started, at `began_s` of its monotonic clock."""

    id: str
    entry: str
    attempt: int
    began_s: float


class Turn(NamedTuple):
    """The answer to `Stream.finish_and_claim`: what the calls that it stands for return. See there."""

    done: list[bool]
    started: list[bool]
    claimed: list[Claimed]
    held: list[Claimed]


class Finish(NamedTuple):
    """An attempt's outcome: `body` is the result or the error as JSON; `keep_ms` 0 keeps nothing, -1 for ever.

    `notes` is kept beside a result: a JSON object with the pushed `input` and with `warnings`, or empty.
    `is_plain` says that the claim called the job plain and that its attempt has told no events: that saves the server
    looking for what belongs to others.
    """

    id: str
    attempt: int
    status: Literal["finished", "failed"]
    body: bytes
    keep_ms: int
    notes: bytes = b""
    is_plain: bool = False

    @property
    def is_short(self) -> bool:
        """Whether id and result are enough for the server, beside `keep_ms`."""
        return self.is_plain and self.status == "finished" and not self.notes

    @property
    def size_bytes(self) -> int:
        """What it takes on its way to the server, nearly."""
        return len(self.body) + len(self.notes)

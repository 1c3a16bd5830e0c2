"""Dead letters by owner and kind, and inputs: a typed class over the functions of `lua/asking/letters.lua`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Call = Callable[..., Awaitable[Any]]

# One call looks at so many letters, whether they are wanted or not.
_LOOKS = 500
_FIELDS = 5


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A failed job with its payload."""

    entry: str
    id: str
    function: str
    args: bytes
    kwargs: bytes
    owner: str
    attempts: int
    error: dict[str, Any]

    @classmethod
    def from_reply(cls, entry: bytes, flat: Sequence[bytes]) -> DeadLetter:
        """Reads one entry of the reply of `dead_letters`."""
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return cls(
            entry=entry.decode(),
            id=fields[b"id"].decode(),
            function=fields[b"function"].decode(),
            args=fields[b"args"],
            kwargs=fields[b"kwargs"],
            owner=fields[b"owner"].decode(),
            attempts=int(fields[b"attempts"]),
            error=orjson.loads(fields[b"error"]),
        )


class LetterView(NamedTuple):
    """A dead letter without its payload. `entry` is what `Stream.requeue` takes; its digits before the hyphen are the
    time of the failure, in ms since the epoch.
    """

    entry: str
    id: str
    function: str
    attempts: int
    error: dict[str, Any]


class LetterPage(NamedTuple):
    """Some dead letters, newest first. `next` is the entry to go on behind; empty if there are no more."""

    letters: list[LetterView]
    next: str


class Letters:
    """The dead letters of one queue. `call` calls a function of the library. Raises what `Stream` raises."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def page(self, owner: str | None, before: str, limit: int, kind: str = "") -> LetterPage:
        """Up to `limit` dead letters of an owner (None: of anybody) behind the entry `before`; '' for the newest.

        With `kind` those whose error has that type. A page may have fewer, and more may come: only some are looked at.
        """
        place = f"({before}" if before else "+"
        following, *flat = await self._call(
            "letters", owner or "", int(owner is None), place, limit, kind, _LOOKS
        )  # fmt: skip
        rows = (flat[at : at + _FIELDS] for at in range(0, len(flat), _FIELDS))
        letters = [
            LetterView(entry.decode(), job_id.decode(), function.decode(), int(attempts), orjson.loads(error))
            for entry, job_id, function, attempts, error in rows
        ]
        return LetterPage(letters, following.decode())

    async def input_of(self, job_id: str, most_bytes: int) -> bytes:
        """The arguments (a JSON array) of a job that has not finished; empty if they are not kept, or are larger."""
        return bytes(await self._call("pushed_input", job_id, most_bytes))

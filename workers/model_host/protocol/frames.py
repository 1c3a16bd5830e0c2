"""The frames between a worker and its model's process: how they are made, and which ones are taken.

A frame is a head and a body. The head's numbers are big-endian:

| bytes | meaning |
| --- | --- |
| 4 | length of the body |
| 4 | CRC-32 of all that follows |
| 8 | number of the job, counted from 1 in each process; 0 before the first job |
| 4 | process id of the sender |
| 1 | kind |

| kind | sender | body | meaning |
| --- | --- | --- | --- |
| `J` | worker | a line, as `JobAtHand.packed`, then JSON | the input of a job |
| `S` | worker | `batch_body.packed_inputs` | the inputs of several jobs, which are run in one call; counts as a job |
| `H` | worker | - | the model's `health` is to be called; counts as a job |
| `C` | worker | - | the job is to stop: sent if the model looks for that, and to a process that runs several at once |
| `L` | model | a line of JSON, `Abilities`, then as `Description.packed` | the model is loaded (once, first) |
| `R` | model | JSON, as `EncodedResult.packed` | what `predict` returned; of `health`, whether it is well |
| `O` | model | `batch_body.packed_answers` | the outcomes of several jobs, in the order of their inputs |
| `E` | model | JSON, `[type, message]` | the constructor (the process then ends) or `predict` raised |
| `I` | model | JSON, `[type, message]` | the input does not fit `predict`, which was not called |
| `A` | model | JSON, `[defer_ms or null, reason]` | `predict` asked for another attempt |
| `B` | model | JSON, `[type, message]` | `predict` raised Broken: the process is to be replaced |
| `X` | model | JSON, `[code, message]` | `sys.exit` was called; the process then ends |
| `M` | model | text | out of memory; the process then ends |
| `N` | model | text | there is no such model: trying again won't help; the process then ends |
| `P`, `G`, `Y` | model | JSON | the job at hand tells its progress, a log line, a partial result |
| `W` | model | - | the job at hand looks at `cancelled`: this model may stop by itself |
| `U` | template | text | the model is loaded, but this process can't be forked; the process then ends |
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterator

JOB = b"J"
BATCH = b"S"
HEALTH = b"H"
LOADED = b"L"
RESULT = b"R"
OUTCOMES = b"O"
ERROR = b"E"
INVALID = b"I"
AGAIN = b"A"
BROKEN = b"B"
EXIT = b"X"
OUT_OF_MEMORY = b"M"
NOT_FOUND = b"N"
UNFORKABLE = b"U"
CANCEL = b"C"
WATCHES = b"W"
EVENTS = {b"P": "progress", b"G": "log", b"Y": "partial"}
"""The kinds of events, as they are called outside the model's process."""

HEAD = struct.Struct(">IIQIc")
LAST_WORDS_BYTES = 65_536  # of an error that is told by the guardian, as its process can't any more
MAX_BODY_BYTES = 2**32 - 1
_CHECKED_FROM = 8  # what precedes is the length and the CRC itself


class FrameError(Exception):
    """Bytes that are not the frame that was awaited. The message says what is wrong with them."""


class Frame(NamedTuple):
    """One message; the module's tables say what its members mean."""

    job: int
    pid: int
    kind: bytes
    body: bytes


def pack(job: int, pid: int, kind: bytes, body: bytes = b"") -> bytes:
    """The bytes of one frame. Raises OverflowError if the body is above `MAX_BODY_BYTES`."""
    if len(body) > MAX_BODY_BYTES:
        raise OverflowError(f"a frame holds {MAX_BODY_BYTES} bytes, not {len(body)}")
    head = HEAD.pack(len(body), 0, job, pid, kind)
    crc = zlib.crc32(body, zlib.crc32(head[_CHECKED_FROM:]))
    return b"".join((head[:4], crc.to_bytes(4, "big"), head[_CHECKED_FROM:], body))


class FrameReader:
    """Takes frames out of a stream of bytes: only those that are awaited, and each as a whole.

    A body may have `max_body_bytes`. The first frame tells the process id; each later one has to have the same.
    `on_notice` gets the frames of the kinds `notices`, which may come before the awaited one; with `takes_more`, also
    together with it, and then they are for what is expected next.
    """

    def __init__(
        self,
        max_body_bytes: int,
        notices: Collection[bytes] = (),
        on_notice: Callable[[Frame], None] = lambda _frame: None,
        takes_more: bool = False,
    ) -> None:
        self._usual_max_bytes = self._max_body_bytes = max_body_bytes
        self._notices = notices
        self._on_notice = on_notice
        self._takes_more = takes_more
        self._buffer = bytearray()
        self._awaited: Container[int] = ()
        self._notices_of: Container[int] = ()
        self._awaits_several = False
        self.pid: int | None = None

    def expect(self, job: int, times: int = 1, notices_of: int | None = None) -> None:
        """The next frame must be of the job with this number. Until then, and after that frame, none may come.

        Its body may have `times` as many bytes as usual. Before it, notices of one job may come. Raises FrameError.
        """
        self._awaited = (job,)
        self._notices_of = () if notices_of is None else (notices_of,)
        self._awaits_several = False
        self._max_body_bytes = min(MAX_BODY_BYTES, times * self._usual_max_bytes)
        if not self._takes_more:
            self._buffer = bytearray()
        elif self._buffer and self.feed(b"") is not None:
            raise FrameError("more than notices came together with the frame before")

    def expect_any(self, jobs: Container[int]) -> None:
        """From now on frames and notices of these jobs come, in any order, until `expect` is called.

        `jobs` is looked at when a frame comes: it may change.
        """
        self._awaited = self._notices_of = jobs
        self._awaits_several = True
        self._max_body_bytes = self._usual_max_bytes
        self._buffer = bytearray()

    def feed_all(self, data: bytes) -> Iterator[Frame]:
        """Takes what has come after `expect_any`, and yields each frame that is complete. Raises as `feed` does."""
        while (frame := self.feed(data)) is not None:
            yield frame
            data = b""

    def feed(self, data: bytes) -> Frame | None:
        """Takes what has come; the result is the frame once it is complete.

        Raises FrameError for a frame of another job or process, a damaged or too long one, and one byte too many.
        """
        if self._awaited == ():
            raise FrameError("nothing was awaited")
        buffer = self._buffer
        buffer += data
        start, length = 0, len(buffer)
        while length - start >= HEAD.size:
            size, crc, job, pid, kind = HEAD.unpack_from(buffer, start)
            is_notice = kind in self._notices
            expected = self._notices_of if is_notice else self._awaited
            if size > self._max_body_bytes:
                raise FrameError(f"a body of {size} bytes, {self._max_body_bytes} are allowed")
            if job not in expected or self.pid not in (None, pid):
                raise FrameError(f"a frame of job {job} and process {pid}, not of {_named(expected)} and {self.pid}")
            end = start + HEAD.size + size
            if length < end:
                break
            if length > end and not (is_notice or self._takes_more or self._awaits_several):
                raise FrameError(f"{length - end} bytes too many")
            if zlib.crc32(memoryview(buffer)[start + _CHECKED_FROM : end]) != crc:
                raise FrameError("a damaged frame")
            frame = Frame(job, pid, kind, bytes(memoryview(buffer)[start + HEAD.size : end]))
            self.pid = pid
            if not is_notice:
                self._go_on(buffer[end:])
                return frame
            self._on_notice(frame)
            start = end
        if start:
            del buffer[:start]
        return None

    def _go_on(self, rest: bytearray) -> None:
        self._buffer = rest
        if not self._awaits_several:
            self._awaited = ()


def _named(jobs: Container[int]) -> str:
    return ", ".join(str(job) for job in jobs) if isinstance(jobs, tuple) else "one at hand"

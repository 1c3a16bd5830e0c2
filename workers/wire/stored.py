"""What stands for JSON that is in the object store: an input or a result above INLINE_BYTES.

    {"stored":"/files/ID/NAME","size_bytes":N}

It counts only with the id of its own job, which no client can know before its push.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_REFERENCE = r'\{"stored":"/files/%s/([A-Za-z0-9_-][A-Za-z0-9._-]*)","size_bytes":([0-9]{1,15})\}'
_LONGEST_BYTES = 400
_INPUT = b'{"input":'


class StoredJson(NamedTuple):
    """The object's name and size; `reference` is what stands for it."""

    name: str
    size_bytes: int
    reference: bytes

    @classmethod
    def of(cls, job_id: str, name: str, size_bytes: int) -> StoredJson:
        """Of an object of a job."""
        return cls(name, size_bytes, b'{"stored":"/files/%b/%b","size_bytes":%d}' % (_b(job_id), _b(name), size_bytes))

    @classmethod
    def read(cls, body: bytes, job_id: str) -> StoredJson | None:
        """What a job's input or result stands for; None if it stands for itself."""
        if len(body) > _LONGEST_BYTES or not body.startswith(b'{"stored":'):
            return None
        return cls._found(re.fullmatch(_REFERENCE.encode() % _b(re.escape(job_id)), body))

    @classmethod
    def read_input(cls, notes: bytes, job_id: str) -> StoredJson | None:
        """The same of the input in a result's notes (`workers.wire.result.notes`)."""
        if not notes.startswith(_INPUT + b'{"stored":'):
            return None
        return cls._found(re.compile(_REFERENCE.encode() % _b(re.escape(job_id))).match(notes, len(_INPUT)))

    @classmethod
    def _found(cls, match: re.Match[bytes] | None) -> StoredJson | None:
        return None if match is None else cls(match[1].decode(), int(match[2]), match[0])


def _b(text: str) -> bytes:
    return text.encode()

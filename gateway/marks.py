"""Ids that tell the queue: with several queues, a job's id begins with its queue's mark."""

from __future__ import annotations

import hashlib
import os

MARK_CHARS = 8


def mark_of(queue: str) -> str:
    """The first digits of the ids of a queue's jobs and batches."""
    return hashlib.sha256(f"queue {queue}".encode()).hexdigest()[:MARK_CHARS]


def new_id(mark: str, chars: int) -> str:
    """A new id of so many hexadecimal digits, an even number: the mark, and random ones."""
    return mark + os.urandom((chars - len(mark)) // 2).hex()

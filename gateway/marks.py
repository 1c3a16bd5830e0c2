"""Ids that tell the queue: with several queues, a job's id begins with its queue's mark."""

from __future__ import annotations

import hashlib

MARK_CHARS = 8


def mark_of(queue: str) -> str:
    """The first digits of the ids of a queue's jobs and batches."""
    return hashlib.sha256(f"queue {queue}".encode()).hexdigest()[:MARK_CHARS]

"""What objects are called. All objects of a job have one prefix, so that they are found and deleted together.

    QUEUE/JOB/NAME

A name's ending says the content type, as not every store keeps one beside the bytes.
"""

from __future__ import annotations

import mimetypes
import os
import re

JOB_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
"""Ids of jobs that may have objects; those that the gateway makes are among them."""
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
"""Names of objects. None begins with a point."""
UPLOAD_ID = re.compile(r"[0-9a-f]{32}-[A-Za-z0-9_-][A-Za-z0-9._-]{0,90}")
"""Ids of files that are sent before their push."""
ANY_TYPE = "application/octet-stream"

_MOST_NAME_CHARS = 80
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_TOKEN = re.compile(r"[0-9a-f]{8}-")
# Its own table, not the machine's: gateway and workers must agree.
_TYPES = mimetypes.MimeTypes(filenames=())
_TYPES.add_type("image/webp", ".webp")
_TYPES.add_type("audio/ogg", ".ogg")
_TYPES.add_type("audio/flac", ".flac")


def _part(text: str) -> str:
    # `.` and `..` are no parts of a path. Neither queues nor ids have a comma.
    return text.replace(".", ",")


def queue_prefix(queue: str) -> str:
    """What the keys of a queue's objects begin with."""
    return f"{_part(queue)}/"


def job_prefix(queue: str, job_id: str) -> str:
    """What the keys of a job's objects begin with. Raises ValueError for an id that can't have any."""
    if not JOB_ID.fullmatch(job_id):
        raise ValueError(f"the job's id {job_id[:100]!r} has other characters than letters, digits and _.:-")
    return f"{queue_prefix(queue)}{_part(job_id)}/"


def job_of(queue: str, key: str) -> str:
    """The id of the job that an object of the queue belongs to."""
    return key[len(queue_prefix(queue)) :].partition("/")[0].replace(",", ".")


def rooted(value: bytes, job_id: str, root_path: str) -> bytes:
    """JSON that the service has written, with the URLs of the job's files below the root path."""
    path = f"/files/{job_id}/"
    return value.replace(f'"{path}'.encode(), f'"{root_path}{path}'.encode()) if root_path else value


def new_name(of: str) -> str:
    """A name that no other object has, and nobody can guess, from a file's own (`of`)."""
    stem, ending = os.path.splitext(os.path.basename(of))
    # The ending says the type, also where nothing of a name in another script is left before it.
    stem, ending = _ODD.sub("-", stem).strip(".-") or "file", _ODD.sub("-", ending).rstrip(".-")[:20]
    return f"{os.urandom(4).hex()}-{stem[: _MOST_NAME_CHARS - len(ending)]}{ending}"


def shown_name(name: str) -> str:
    """The file's own name, as somebody saves it."""
    return _TOKEN.sub("", name, count=1)


def type_of(name: str) -> str:
    """The content type that a name's ending says."""
    kind, coding = _TYPES.guess_type(f"file:{name}")
    return kind if kind and not coding else ANY_TYPE


def ending_of(content_type: str) -> str:
    """The ending that says a content type, with its point; `.bin` if none does."""
    media_type = content_type.partition(";")[0].strip().lower()
    return _TYPES.guess_extension(media_type) or ".bin"

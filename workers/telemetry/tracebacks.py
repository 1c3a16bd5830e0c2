"""What a log says of an exception, with bounds: a message may quote an input of many megabytes."""

from __future__ import annotations

import traceback

MAX_MESSAGE_CHARS = 2000
_MAX_TRACEBACK_CHARS = 50_000


def cut(text: str, most: int = MAX_MESSAGE_CHARS) -> str:
    """The text, its end replaced by a count of what is missing if it has more than `most` characters."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} more characters)"


def traceback_of(error: BaseException) -> str:
    """The traceback as Python writes it, each message in it cut to 2,000 characters, the whole to 50,000.

    Of a longer one the end is kept: that is the exception which was raised last.
    """
    try:
        pieces = [cut(piece.rstrip("\n")) for piece in traceback.format_exception(error)]
    except Exception as other:  # noqa: BLE001 - the exception's own methods may raise
        pieces = [f"(an exception whose traceback can't be written: {type(other).__name__})"]
    text = "\n".join(pieces)
    missing = len(text) - _MAX_TRACEBACK_CHARS
    return text if missing <= 0 else f"({missing} more characters) ...{text[missing:]}"

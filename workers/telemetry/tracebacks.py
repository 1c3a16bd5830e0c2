"""What is told of an exception, whatever its class and its message are like, with bounds.

A message may quote an input of many megabytes, and `str` of an exception may raise another.
"""

from __future__ import annotations

import traceback
from typing import Any

MAX_MESSAGE_CHARS = 2000
_MAX_TRACEBACK_CHARS = 50_000
# What ends a line or commands a terminal: strangers choose what is in messages.
_CONTROLS = {
    code: ascii(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029) if chr(code) != "\t"
}
_CONTROLS_IN_LINES = {code: escape for code, escape in _CONTROLS.items() if chr(code) != "\n"}


def cut(text: str, most: int = MAX_MESSAGE_CHARS) -> str:
    """The text, its end replaced by a count of what is missing if it has more than `most` characters."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} more characters)"


def one_line(text: str) -> str:
    """The text with escapes for what would end its line, or command a terminal."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def name_of(error: Any) -> str:
    """The name of its class, cut to 2,000 characters."""
    # A metaclass may have another idea of `__name__`.
    return shown(type.__dict__["__name__"].__get__(type(error)) or "Exception")


def message_of(error: Any) -> str:
    """Its message, cut to 2,000 characters."""
    try:
        return shown(str(error))
    except BaseException:  # noqa: BLE001
        return "(an error whose message can't be made)"


def shown(text: str) -> str:
    """The first 2,000 characters, as text that can be written as JSON."""
    # `str` itself, as a class derived from it may do anything. Lone surrogates are no JSON.
    return str.encode(str.__getitem__(text, slice(MAX_MESSAGE_CHARS)), errors="replace").decode()


def traceback_of(error: BaseException) -> str:
    """The traceback as Python writes it, each message in it cut to 2,000 characters, the whole to 50,000.

    Further lines of a message are indented, so that none looks like a line of the log.
    Of a longer one the end is kept: that is the exception which was raised last.
    """
    try:
        pieces = [_lines_of(cut(piece.rstrip("\n"))) for piece in traceback.format_exception(error)]
    except Exception as other:  # noqa: BLE001 - the exception's own methods may raise
        pieces = [f"(an exception whose traceback can't be written: {type(other).__name__})"]
    text = "\n".join(pieces)
    missing = len(text) - _MAX_TRACEBACK_CHARS
    return text if missing <= 0 else f"({missing} more characters) ...{text[missing:]}"


def _lines_of(piece: str) -> str:
    is_message = not piece.startswith((" ", "\n"))
    return (piece.replace("\n", "\n    ") if is_message else piece).translate(_CONTROLS_IN_LINES)

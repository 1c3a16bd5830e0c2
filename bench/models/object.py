"""The model of `python -m bench objects`: returns the file that it gets."""

from __future__ import annotations

from workers.file import File


class Echo:
    """Its input is a file, and so is its result."""

    def predict(self, input: File) -> File:  # noqa: A002
        """The same bytes, as another file."""
        return File(input.path, "echo.bin")

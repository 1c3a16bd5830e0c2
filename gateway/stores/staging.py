"""How much of batches that are not whole yet this process may put on the server."""

from __future__ import annotations

from gateway.http.errors import unavailable


class Staging:
    """How much this process has put on the server for batches that are not whole yet: at most `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.held_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """Raises Problem 503 if that is too much."""
        if self.held_bytes + size_bytes > self._most_bytes:
            raise unavailable("too many batches are being received")
        self.held_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """They have become jobs, or were forgotten."""
        self.held_bytes -= size_bytes

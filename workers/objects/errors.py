"""How a call of the object store fails."""

from __future__ import annotations


class StoreUnavailable(Exception):  # noqa: N818
    """The store can't be used now: the same call may succeed later. The message is a sentence for clients."""


class ObjectMissing(Exception):  # noqa: N818
    """There is no such object (any more)."""


class ObjectTooLarge(Exception):  # noqa: N818
    """It has more bytes than it may have; what was stored of it is gone."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"it is larger than {most_bytes} bytes")

"""How files that clients name by their URLs are fetched, and how that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from workers.outbound.addresses import AddressRules


class FetchTerms(NamedTuple):
    """From where files are fetched, how many seconds one may take, and how large it may be."""

    rules: AddressRules
    timeout_s: float
    most_bytes: int


class FetchRefused(Exception):  # noqa: N818
    """The client has named what can't be fetched: another try would end in the same way. One sentence."""


class FetchFailed(Exception):  # noqa: N818
    """The file could not be fetched now. One sentence."""

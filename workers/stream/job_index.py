"""Lists of jobs, and how they are forgotten: a typed class over the functions of `lua/asking/list.lua`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.stream.records.job_view import JobView, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Call = Callable[..., Awaitable[Any]]

# One call looks at so many jobs, whether they are wanted or not.
_LOOKS = 1000
_OWNERS_AT_ONCE = 250
# Each costs the server some ten commands.
_DELETED_AT_ONCE = 250
_PLACE = re.compile(r"([0-9]{1,19}-[0-9]{1,19})\.([0-9]{1,9})\.([0-9A-Za-z_-]{0,64})")


class JobPage(NamedTuple):
    """Some jobs, newest first; of one millisecond, an owner's jobs are together.

    `next` is where to go on, in the same list or in that of others; empty if there are no more.
    """

    jobs: list[JobView]
    next: str


class JobIndex:
    """The jobs of one queue, by their owners or all. `call` calls a function of the library.

    Raises what `Stream` raises.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def page(
        self, owner: str | None, before: str, limit: int, status: Status | None = None, tag: str = ""
    ) -> JobPage:
        """Up to `limit` jobs of an owner or, if it is None, of all, newest first; '' as `before` is for the newest.

        The next page begins where this one says. A page may have fewer, even none, and more may come: only some are
        looked at. Raises ValueError if `before` is not what a page says.
        """
        entry, place, last = "+", "0", ""
        if before:
            match = _PLACE.fullmatch(before)
            if match is None:
                raise ValueError("not a page's next")
            entry, place, last = match.groups()
            if not entry.strip("0-"):  # before it there is nothing
                return JobPage([], "")
        terms = (entry, place, last, limit, status or "", tag, _LOOKS)
        if owner is None:
            where, *flat = await self._call("list_all", *terms, *await self._newest(entry, last))
        else:
            where, *flat = await self._call("list", *terms, owner)
        views = (
            JobView.from_reply(job_id.decode(), reply) for job_id, reply in zip(flat[::2], flat[1::2], strict=True)
        )
        return JobPage([view for view in views if view is not None], where.decode())

    async def _newest(self, entry: str, last: str) -> list[bytes]:
        """The owners of the newest entries: one more than a call looks at jobs, so that it sees no end."""
        newest: dict[bytes, bytes] = {}
        cursor = b"0"
        while True:  # in several calls, none of which keeps the server busy for long
            cursor, *flat = await self._call("list_owners", cursor, entry, last, _OWNERS_AT_ONCE)
            newest.update(zip(flat[::2], flat[1::2], strict=True))
            if cursor == b"0":
                break
        ranked = sorted(newest, key=lambda owner: (*map(int, newest[owner].split(b"-")), owner), reverse=True)
        return ranked[: _LOOKS + 1]

    async def delete(self, job_ids: Sequence[str], status: Status | None = None) -> int:
        """Forgets jobs, or those of them with this status; cancels those that have not ended. Returns how many."""
        count = 0
        for at in range(0, len(job_ids), _DELETED_AT_ONCE):
            count += await self._call("delete", status or "", *job_ids[at : at + _DELETED_AT_ONCE])
        return count

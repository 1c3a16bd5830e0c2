"""The queues behind one gateway: each request is for one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.http.errors import Problem
from gateway.marks import MARK_CHARS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.context import Context
    from gateway.http.request import HttpRequest

_MOST_SHOWN_CHARS = 100


class Queues:
    """The contexts of the queues, the one of pushes that name none first."""

    def __init__(self, contexts: Sequence[Context]) -> None:
        self.all = contexts
        self.first = contexts[0]
        self._by_name = {context.settings.queue_name: context for context in contexts}
        self._by_mark = {context.mark: context for context in contexts if context.mark}

    def of(self, request: HttpRequest) -> Context:
        """The queue that the path or the query names, or the one of the job that it names. Raises Problem 404."""
        name = request.path_parameters.get("queue", request.query.get("queue"))
        if name is not None:
            if (context := self._by_name.get(name)) is None:
                raise Problem(404, f"this gateway has no queue {name[:_MOST_SHOWN_CHARS]!r} (QUEUES)")
            return context
        # An id from the time before there were several queues has no mark, and is of the first.
        return self._by_mark.get(request.path_parameters.get("id", "")[:MARK_CHARS], self.first)

    async def close(self) -> None:
        """Closes the connections of all."""
        for context in self.all:
            await context.stream.close()
            if context.webhooks:
                await context.webhooks.close()

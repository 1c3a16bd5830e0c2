"""The rounds of a scaler, once a second: every model is seen and decided, the budget is shared, all is carried out.

What fails with one model holds that one only.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from workers.scaler.models.sharing import share_among
from workers.stream import end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.scaler.models.one_model import ModelScaler
    from workers.scaler.models.sharing import Budget

ROUND_S = 1.0
# Without workers the next round begins when a job comes, but not sooner than this: jobs can't keep a scaler busy.
_LEAST_ROUND_S = 0.05
# Until there is a first decision: within moments it is known who leads, and what there is.
_FIRST_ROUND_S = 0.2


class Rounds:
    """The one loop over the scalers of all models, with what they may take together."""

    def __init__(self, scalers: Sequence[ModelScaler], budget: Budget | None = None) -> None:
        self._scalers = scalers
        self._budget = budget
        for scaler in scalers:
            scaler.status.shares_budget = budget is not None
        self._wake = asyncio.Event()
        self._woken: set[int] = set()  # places in `scalers`

    async def run(self) -> NoReturn:
        """Never returns; raises what says that the server is the wrong one, if nothing has been decided yet."""
        subscriptions = [
            asyncio.create_task(scaler.stream.unserved(partial(self._on_jobs, i)).run(), name="subscription")
            for i, scaler in enumerate(self._scalers)
        ]
        try:
            while True:
                for subscription in subscriptions:
                    if subscription.done():
                        subscription.result()
                await self._round()
                await self._until_next()
        finally:
            await end(*subscriptions)

    async def _round(self) -> None:
        for scaler in self._scalers:
            scaler.status.begin_round()
        await asyncio.gather(*(scaler.observe() for scaler in self._scalers))
        if self._budget is not None:
            self._share(self._budget)
        await asyncio.gather(*(scaler.settle() for scaler in self._scalers))
        for scaler in self._scalers:
            await scaler.status.end_round()

    def _share(self, budget: Budget) -> None:
        try:
            share_among(self._scalers, budget)
        except Exception as error:  # noqa: BLE001 - it is logged, and nobody loses workers
            for scaler in self._scalers:
                scaler.trouble("the budget could not be shared", error)

    def _on_jobs(self, i: int) -> None:
        self._woken.add(i)
        self._wake.set()

    async def _until_next(self) -> None:
        loop, decided = asyncio.get_running_loop(), all(scaler.status.decision for scaler in self._scalers)
        await asyncio.sleep(_LEAST_ROUND_S)
        next_s = loop.time() + (ROUND_S if decided else _FIRST_ROUND_S) - _LEAST_ROUND_S
        try:
            async with asyncio.timeout_at(next_s):
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    woken, self._woken = self._woken, set()
                    if not all(self._scalers[i].status.active for i in woken):
                        return
        except TimeoutError:
            pass

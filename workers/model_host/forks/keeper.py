"""Keeps a template, and falls back to processes that load the model by themselves if it can't be forked."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from workers.model_host import backoff
from workers.model_host.backoff import LoadAttempts
from workers.model_host.errors import ModelLoadFailed, ModelNotFound, ModelUnforkable
from workers.model_host.forks.template import Template
from workers.model_host.process.start import SlowStarts
from workers.model_host.process.variables import variables_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.options import ModelOptions
    from workers.model_host.process.start import Start

logger = logging.getLogger(__name__)


class TemplateKeeper:
    """Where forked processes come from. `on_load_s` is called with the seconds that each template took to load."""

    def __init__(self, options: ModelOptions, on_load_s: Callable[[float], None]) -> None:
        self._options = options
        self._on_load_s = on_load_s
        self._slow: SlowStarts | None = None
        self._template: Template | None = None
        self._loaded_at_s = 0.0
        self._changed = asyncio.Event()
        self._buried: set[asyncio.Task[None]] = set()

    @property
    def is_fast(self) -> bool:
        """Whether the processes that it starts have the model loaded."""
        return self._slow is None

    async def start_of(self, index: int) -> Start:
        """What starts the process with this index. Waits until the model is loaded."""
        while True:
            if self._slow is not None:
                return await self._slow.start_of(index)
            if self._template is not None:
                return partial(self._template.fork, variables_of(index, self._options.devices))
            self._changed.clear()
            await self._changed.wait()

    def renew(self, started_s: float) -> None:
        """Has the model loaded anew: a process that was forked at this time is of no use. Not if that has been done."""
        if self._template is not None and self._loaded_at_s <= started_s:
            self._template.retire("seems to be broken")
            self._template = None

    async def keep(self) -> None:
        """Keeps a template until cancelled; then it is gone once its forks are. Returns if the model can't be forked.

        Raises ModelLoadFailed when the model has failed to load three times in succession, or ModelNotFound.
        """
        try:
            while (template := await self._load()) is not None:
                self._template, self._loaded_at_s = template, time.monotonic()
                self._changed.set()
                try:
                    how = await template.lost()
                finally:
                    self._template = None
                    self._bury(template)
                logger.warning(
                    "the process that is forked %s; the model is loaded anew, and jobs in its forks go on", how
                )
                await asyncio.sleep(backoff.BACKOFF_S)
        finally:
            await self._all_buried()

    async def _load(self) -> Template | None:
        """A template that is loaded; None if it can't be forked."""
        attempts = LoadAttempts()
        while True:
            template = Template(self._options)
            started_s = time.monotonic()
            try:
                await template.load()
            except ModelUnforkable as error:
                logger.warning("MODEL_FORK has no effect: after loading, the model's process %s", error)
                self._slow = SlowStarts(self._options)
                self._changed.set()
                return None
            except ModelNotFound:
                raise
            except ModelLoadFailed as error:
                if (pause_s := attempts.next_s()) is None:
                    raise
                logger.warning("%s; trying again", error)
                await asyncio.sleep(pause_s)
            else:
                self._on_load_s(time.monotonic() - started_s)
                return template

    def _bury(self, template: Template) -> None:
        task = asyncio.create_task(template.bury())
        self._buried.add(task)
        task.add_done_callback(self._buried.discard)

    async def _all_buried(self) -> None:
        """Returns when no template is left; a cancel in between is raised after that."""
        cancelled = False
        while self._buried:
            try:
                await asyncio.wait(self._buried)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

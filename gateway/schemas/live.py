"""What the workers' models take and return: follows what the workers publish, and checks pushes by it.

A schema counts while a worker has renewed it within `LIVE_S`. Of several (a rollout) an input has to fit one. If none
counts, nothing is checked: the next worker may be of a release that takes something else, and it starts only if there
is a job.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.http.errors import Problem
from gateway.schemas.input_schema import InputSchema
from gateway.schemas.model_types import ModelTypes
from workers.stream import until_available
from workers.wire.decode import loads_bounded
from workers.wire.limits import MAX_SCHEMA_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.stream import SchemaView, Stream

logger = logging.getLogger(__name__)

REFRESH_S = 2.0
# Some heartbeats, and the time in which a worker that has died is replaced.
LIVE_S = 300.0


class ModelSchemas:
    """The schemas of one queue's models, each read and compiled once."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._known: dict[str, _Model] = {}
        self._checks: list[InputSchema] = []
        self.types: ModelTypes | None = None

    async def follow(self) -> None:
        """Asks the server for changes again and again; never returns."""
        while True:
            self.update(await until_available(partial(self._stream.schemas, list(self._known)), "reading the schemas"))
            await asyncio.sleep(REFRESH_S)

    def update(self, views: Sequence[SchemaView]) -> None:
        """Takes over what is published, of which new schemas have their JSON."""
        models = {view.digest: self._known.get(view.digest) or _read(view) for view in views}
        self._known = models
        live = [view for view in views if view.seen_ms < LIVE_S * 1000]
        checks = [models[view.digest].check for view in live]
        self._checks = [] if None in checks else [check for check in checks if check is not None]
        # The latest release describes the API; without workers it is the one that has left last.
        newest = min(live, key=lambda view: view.since_ms) if live else views[0] if views else None
        self.types = models[newest.digest].types if newest else None

    def check(self, value: Any) -> None:
        """Raises Problem 422 for an input that no model takes, with its first faults."""
        checks = self._checks
        if not checks:
            return
        for check in checks:
            if check.takes(value):
                return
        # Of several releases, the one that the input was probably meant for.
        faults = min((check.faults(value) for check in checks), key=len)
        raise Problem(422, "the input does not fit what the model takes", errors=[fault.document() for fault in faults])


class _Model:
    """What a gateway knows of a model: `check` is None if it takes any JSON."""

    def __init__(self, check: InputSchema | None = None, types: ModelTypes | None = None) -> None:
        self.check = check
        self.types = types


def _read(view: SchemaView) -> _Model:
    """Reads a schema. One that can't be used lets any input pass, which is for the worker to refuse."""
    if view.is_any:
        return _Model()
    try:
        if len(view.text) > MAX_SCHEMA_BYTES:
            raise ValueError(f"it is larger than {MAX_SCHEMA_BYTES} bytes")
        schema = loads_bounded(view.text)
        if not isinstance(schema, dict):
            raise ValueError("it is no object")
        return _Model(InputSchema(schema["accepts"]) if "accepts" in schema else None, ModelTypes(schema))
    except (ValueError, RecursionError) as error:
        logger.warning("the schema %s of a model is ignored: %s", view.digest[:50], error)
        return _Model()

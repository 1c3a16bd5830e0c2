"""The job that the gateway pushes: one prediction of the model, which lives in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from workers.host import ModelHost

if TYPE_CHECKING:
    from workers.settings import WorkerSettings
    from workers.worker import Worker


async def predict(ctx: dict[Any, Any], input: Any) -> orjson.Fragment:  # noqa: A002
    """Runs the model on one JSON value; the result is the JSON that `Model.predict` returned."""
    host: ModelHost = ctx["model"]
    return orjson.Fragment(await host.predict(orjson.dumps(input)))


async def load_model(ctx: dict[Any, Any]) -> None:
    """Starts the model's processes and returns when one is loaded. Raises ModelLoadFailed."""
    worker: Worker = ctx["worker"]
    settings: WorkerSettings = worker.settings
    worker.set_capacity(0)
    host = ctx["model"] = ModelHost(
        settings.model,
        settings.concurrency,
        load_timeout_s=settings.model_load_timeout_s,
        memory_limit_bytes=settings.model_memory_limit_bytes,
        max_result_bytes=settings.max_result_bytes,
        on_loaded=worker.set_capacity,
    )
    worker.watch(host.run(), "model")
    await host.loaded()

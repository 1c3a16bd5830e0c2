"""Puts a scaler together from the settings: for each model its stream, its pods, and what carries decisions out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.scaler.cluster.api import KubernetesApi
from workers.scaler.cluster.deployment import DeploymentScaler
from workers.scaler.cluster.pods import PodObserver
from workers.scaler.models.one_model import ModelScaler
from workers.scaler.models.rounds import Rounds
from workers.scaler.models.sharing import Budget, BudgetPart
from workers.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from contextlib import AsyncExitStack

    from workers.scaler.models.models_file import ModelEntry, ModelsFile
    from workers.scaler.policy import Options
    from workers.scaler.reporting.status import ScalerStatus
    from workers.scaler.settings import ScalerSettings
    from workers.scaler.surroundings import Leadership

logger = logging.getLogger(__name__)


class WatchedModel(NamedTuple):
    queue: str
    deployment: str
    direct: bool
    options: Options


class ModelPart(NamedTuple):
    """One model's scaler and the watch of its pods."""

    model: WatchedModel
    scaler: ModelScaler
    pods: PodObserver


class Assembly(NamedTuple):
    """All parts of a scaler that are by model."""

    parts: list[ModelPart]
    budget: Budget | None

    @property
    def statuses(self) -> Mapping[str, ScalerStatus]:
        """Of all models, by queue."""
        return {part.model.queue: part.scaler.status for part in self.parts}

    @property
    def asked(self) -> Mapping[str, ScalerStatus]:
        """Of the models that KEDA asks for, by queue."""
        return {part.model.queue: part.scaler.status for part in self.parts if not part.model.direct}

    @property
    def runs(self) -> dict[str, Callable[[], Coroutine[Any, Any, Any]]]:
        """What must run, by name."""
        rounds = Rounds([part.scaler for part in self.parts], self.budget)
        return {"rounds": rounds.run, **{f"pods of {part.model.queue}": part.pods.run for part in self.parts}}

    async def close(self) -> None:
        """Saves a leader's memory, each model's."""
        for part in self.parts:
            await part.scaler.close()


def models_of(settings: ScalerSettings, file: ModelsFile | None) -> tuple[list[WatchedModel], Budget | None]:
    """Returns the models of the file, or the one of the settings, and their budget if there is one."""
    if file is None:
        direct = settings.scaler_mode == "direct"
        return [WatchedModel(settings.queue_name, settings.deployment, direct, settings.policy_options)], None
    models = [_listed(entry, settings) for entry in file.models]
    parts = {entry.queue: BudgetPart(entry.share, entry.takes) for entry in file.models}
    return models, Budget(file.budget, parts) if file.budget else None


def _listed(entry: ModelEntry, settings: ScalerSettings) -> WatchedModel:
    return WatchedModel(entry.queue, entry.deployment, entry.scaling == "direct", entry.options(settings.actuation_s))


async def assemble(
    settings: ScalerSettings, file: ModelsFile | None, leadership: Leadership, stack: AsyncExitStack
) -> Assembly:
    """Returns the parts, none of which runs yet; `stack` closes what they hold. Raises ApiError."""
    models, budget = models_of(settings, file)
    parts = []
    for model in models:
        stream = Stream(settings.model_copy(update={"queue_name": model.queue}))
        stack.push_async_callback(stream.close)
        api = await stack.enter_async_context(
            KubernetesApi(settings.pod_namespace, model.deployment, settings.kubernetes_url or None)
        )
        pods = PodObserver(api)
        actuator = DeploymentScaler(api, pods, leadership) if model.direct else None
        name = model.queue if len(models) > 1 else ""
        scaler = ModelScaler(stream, model.options, pods, leadership, actuator, name)
        parts.append(ModelPart(model, scaler, pods))
        how = "direct" if model.direct else "keda"
        logger.info("%s/%s is scaled for the queue %s (%s)", api.namespace, api.deployment, model.queue, how)
    return Assembly(parts, budget)

"""MODELS_FILE: the models that one scaler watches, and what they may take together."""

from __future__ import annotations

import math
import re
from pathlib import Path  # noqa: TC003 - pydantic reads it
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from workers.scaler.policy import Options
from workers.scaler.settings import ACTUATION_S
from workers.settings import NotNegative, Positive  # noqa: TC001 - pydantic reads them

_MOST_BYTES = 1_048_576
_MOST_MODELS = 1000
PODS = "pods"
_SUFFIXES = {"m": 1e-3, "": 1, **{unit: 1000**n for n, unit in enumerate("kMGTP", 1)}}
_SUFFIXES |= {f"{unit}i": 1024**n for n, unit in enumerate("KMGTP", 1)}
_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m|k|[MGTP]|[KMGTP]i)?$")
_RESOURCE = r"^[A-Za-z0-9]([A-Za-z0-9./_-]{0,250}[A-Za-z0-9])?$"


class ModelsFileError(ValueError):
    """The file can't be used. The message is one sentence."""


def _quantity(value: Any) -> Any:
    """Returns a number for a quantity as Kubernetes writes it, such as 500m or 16Gi."""
    if not isinstance(value, str | bool):
        return value
    if isinstance(value, str) and (found := _QUANTITY.match(value)):
        return float(found[1]) * _SUFFIXES[found[2] or ""]
    raise ValueError(f"{value!r} is no quantity, such as 2, 500m or 16Gi")


_Quantity = Annotated[float, BeforeValidator(_quantity), Field(ge=0, le=1e18, allow_inf_nan=False)]
_Resource = Annotated[str, Field(pattern=_RESOURCE)]
_Replicas = Annotated[int, Field(ge=0, le=10_000)]


class ModelEntry(BaseModel):
    """One model: its queue, its Deployment, and what the policy is told of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")]
    deployment: Annotated[str, Field(pattern=r"^[a-z0-9.-]{1,253}$")]
    scaling: Literal["keda", "direct"] = "keda"
    min_replicas: _Replicas = 0
    max_replicas: Annotated[int, Field(ge=1, le=10_000)] = 10
    standby: _Replicas = 0
    standby_price: Annotated[float, Field(ge=0, le=1)] = 0.0
    guaranteed: _Replicas | None = None  # replicas of the budget; None is `min_replicas`
    objective_s: NotNegative = 0.0
    late_cost: Positive = 12.0
    service_guess_s: Positive = 5.0
    startup_guess_s: Positive = 30.0
    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = 1  # jobs in one call, for the simulator
    resources: dict[_Resource, _Quantity] = {}

    @property
    def share(self) -> int:
        """Replicas that it may always have of the budget."""
        return self.min_replicas if self.guaranteed is None else self.guaranteed

    @property
    def takes(self) -> dict[str, float]:
        """What one pod takes of each resource, one of `pods` included."""
        return {PODS: 1.0, **self.resources}

    def options(self, actuation_s: float = 0.0) -> Options:
        """Returns what the policy takes; with an `actuation_s` of 0, that of its scaling."""
        return Options(
            max_replicas=self.max_replicas,
            min_replicas=self.min_replicas,
            objective_s=self.objective_s or None,
            late_cost=self.late_cost,
            concurrency=self.concurrency,
            actuation_s=actuation_s or ACTUATION_S[self.scaling],
            service_guess_s=self.service_guess_s,
            startup_guess_s=self.startup_guess_s,
            standby=self.standby,
            standby_price=self.standby_price,
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas: {self.min_replicas} is more than max_replicas: {self.max_replicas}")
        if self.standby > self.max_replicas:
            raise ValueError(f"standby: {self.standby} is more than max_replicas: {self.max_replicas}")
        if not self.min_replicas <= self.share <= self.max_replicas:
            raise ValueError(
                f"guaranteed: {self.share} is not between min_replicas: {self.min_replicas} and "
                f"max_replicas: {self.max_replicas}"
            )
        if self.batch > self.concurrency:
            raise ValueError(f"batch: {self.batch} is more than concurrency: {self.concurrency}")
        if PODS in self.resources:
            raise ValueError("a pod takes one of pods: resources must not name it")
        return self


class ModelsFile(BaseModel):
    """All models, and the budget: amounts by resource, of which `pods` is one; empty is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: dict[_Resource, _Quantity] = {}
    models: Annotated[list[ModelEntry], Field(min_length=1, max_length=_MOST_MODELS)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("queue", "deployment"):
            values = [getattr(model, name) for model in self.models]
            if twice := next((value for value in values if values.count(value) > 1), None):
                raise ValueError(f"two models have the {name} {twice}")
        for resource, amount in self.budget.items():
            self._check_budget(resource, amount)
        return self

    def _check_budget(self, resource: str, amount: float) -> None:
        taking = [model for model in self.models if model.takes.get(resource)]
        if not taking:
            raise ValueError(f"budget: no model's resources name {resource}")
        for model in taking:
            if model.takes[resource] > amount:
                raise ValueError(
                    f"budget: one pod of {model.queue} takes {model.takes[resource]:g} of {resource}, "
                    f"there are {amount:g}"
                )
        if (promised := math.fsum(model.share * model.takes[resource] for model in taking)) > amount:
            raise ValueError(f"budget: the guaranteed shares take {promised:g} of {resource}, there are {amount:g}")


def read_models(path: Path) -> ModelsFile:
    """Returns what is in the file. Raises ModelsFileError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ModelsFileError(f"{path} can't be read: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise ModelsFileError(f"{path} is larger than {_MOST_BYTES} bytes")
    try:
        return ModelsFile.model_validate(yaml.safe_load(data))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where is not None else ""
        raise ModelsFileError(f"{path} is no YAML{line}") from error
    except ValidationError as error:
        raise ModelsFileError(f"{path}: {_sentence(error)}") from error
    except (ValueError, RecursionError) as error:  # of a number, a date or lists in lists that Python can't take
        raise ModelsFileError(f"{path} can't be read: {error}") from error


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].removeprefix("Value error, ").partition(" or instance of ")[0]
    return f"{where}: {what}" if where else what

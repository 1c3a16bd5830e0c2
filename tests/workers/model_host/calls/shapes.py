"""Models of each shape that the parameters of `predict` may have."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, InstanceOf, field_validator
from typing_extensions import TypedDict


@dataclass
class Corner:
    x: int
    y: int = 0


class Parcel(BaseModel):
    corner: Corner
    size: Annotated[int, Field(ge=1)] = 1


class TakesInteger:
    def predict(self, input: int) -> Any:  # noqa: A002
        return {"value": input, "class": type(input).__name__}


class TakesBox:
    def predict(self, box: Parcel) -> Any:
        return [type(box).__name__, box.corner.x, box.corner.y, box.size]


class TakesMembers:
    def predict(
        self, text: str, numbers: list[int], top_k: Annotated[int, Field(le=10)] = 5, *, raw: Any = None
    ) -> Any:
        return {"text": text, "numbers": numbers, "top_k": top_k, "raw": raw}


class Lucky(Parcel):
    """Its schema does not say all."""

    @field_validator("size")
    @classmethod
    def check_size(cls, size: int) -> int:
        if size == 13:
            raise ValueError("13 brings bad luck")
        return size


class Area(TypedDict):
    area: int


class TakesTyped:
    def predict(self, box: Lucky, factor: float = 1) -> Area:
        return {"area": round(box.size**2 * factor)}


class Indescribable:
    """A class of which pydantic takes no JSON, and can make no schema."""


class TakesUndescribed:
    def predict(self, image: Annotated[Indescribable, InstanceOf()]) -> Any:
        raise NotImplementedError


class TakesHuge:
    def predict(self, colour: Literal[tuple(f"colour-{n}" for n in range(10_000))]) -> Any:  # type: ignore[valid-type]
        raise NotImplementedError


class TakesUntyped:
    def predict(self, a, b=2, /, c=3, **rest):  # type: ignore[no-untyped-def]
        return [a, b, c, rest]


class TakesNothing:
    def predict(self) -> str:
        return "nothing"


class TakesStarred:
    def predict(self, *inputs: Any) -> Any:
        raise NotImplementedError


class Pixels:
    """A class that pydantic knows nothing of."""


class TakesTensor:
    def predict(self, image: Pixels) -> Any:
        raise NotImplementedError


class TakesField:
    """Loads for minutes: what can't be served is told before."""

    def __init__(self) -> None:
        time.sleep(600)

    def predict(self, text: str, top_k: int = Field(5, le=10)) -> Any:
        raise NotImplementedError


class TakesUnresolved:
    def predict(self, input: "np.ndarray") -> Any:  # type: ignore[name-defined]  # noqa: A002, F821, UP037
        raise NotImplementedError


Tangle = list["Tangle"] | int


class TakesTangle:
    """pydantic makes a type of such an alias only if it is a TypeAliasType."""

    def predict(self, input: Tangle) -> Any:  # noqa: A002
        raise NotImplementedError


class TakesByObject:
    """Its `predict` is no method, but an object that can be called."""

    def __init__(self) -> None:
        self.predict = CallableModule()


class CallableModule:
    def __call__(self, *args: Any) -> Any:
        return list(args)

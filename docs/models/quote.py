"""The price of a shipment: an input of several members, with constraints, and an object as the result."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator


class Crate(BaseModel):
    """One piece; lengths in cm, weight in kg."""

    sides_cm: Annotated[list[Annotated[float, Field(gt=0, le=400)]], Field(min_length=3, max_length=3)]
    weight_kg: Annotated[float, Field(ge=0, le=1000)]
    count: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def weighs_something(self) -> "Crate":
        """Only this method can tell; no schema says it."""
        if self.weight_kg == 0 and self.count > 1:
            raise ValueError("several crates can't weigh nothing")
        return self


class Offer(BaseModel):
    """What is answered."""

    price_eur: float
    volume_m3: float


class Quote:
    """Prices by volume and weight, whichever costs more."""

    def predict(
        self, crates: Annotated[list[Crate], Field(min_length=1)], speed: Literal["slow", "fast"] = "slow"
    ) -> Offer:
        """The price of all crates together."""
        volume_m3 = sum(c.count * c.sides_cm[0] * c.sides_cm[1] * c.sides_cm[2] / 1e6 for c in crates)
        weight_kg = sum(c.count * c.weight_kg for c in crates)
        price_eur = max(80 * volume_m3, 0.4 * weight_kg) * (2 if speed == "fast" else 1)
        return Offer(price_eur=round(price_eur, 2), volume_m3=round(volume_m3, 3))

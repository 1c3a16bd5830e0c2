"""A scaler of one model: the rounds of `models/rounds.py` with that model alone."""

from __future__ import annotations

from typing import NoReturn

from workers.scaler.models.one_model import ModelScaler
from workers.scaler.models.rounds import Rounds


class Scaler(ModelScaler):
    """One model's scaler, with rounds of its own."""

    async def run(self) -> NoReturn:
        """As `Rounds.run`."""
        await Rounds([self]).run()

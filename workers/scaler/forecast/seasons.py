"""What comes at this time of the hour, of the day and of the week: one profile each, of the rounds before.

A period is cut into slots, and the mean rate of each is kept. The profile must have shown that it is right where it
says something else than the others (`track_record.py`): until then it is hardly heard.

Example: on two days nothing came before 9:00, and 5 jobs/s from then on. On the third day 5 jobs/s are expected from
9:00 on, and pods are ordered a lead before.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from workers.scaler.forecast.atoms import Atom

# Length of a slot in seconds, and their number: minutes of an hour, ten minutes of a day, hours of a week. Design: 372
# numbers are kept in all.
# Example: the third slot of the day begins 20 minutes after midnight, by UTC.
SLOTS = ((60.0, 60), (600.0, 144), (3600.0, 168))
# Share of a slot's rate that is its last round's. Design: half a profile is from the last round, a quarter from the one
# before.
# Example: 10:00 had 4 jobs/s yesterday and 2 today: 3 are expected tomorrow.
LAST = 0.5
# Share of a slot that must have been observed for it to be kept. Design.
# Example: a scaler that begins at 9:07 keeps nothing for the ten minutes from 9:00 on.
_OBSERVED = 0.5
_UNSEEN = -1.0


class Season(NamedTuple):
    """One period's profile: `rates` in jobs/s of slots of `length_s`, and what came in the present slot."""

    length_s: float
    rates: tuple[float, ...]
    slot_s: float = 0.0  # of the present slot, as far as it was observed
    slot_jobs: int = 0

    def place(self, at_s: float) -> int:
        """Returns which slot of the period it is then."""
        return math.floor(at_s / self.length_s) % len(self.rates)

    def observe(self, from_s: float, now_s: float, jobs: int) -> Season:
        """Returns it with what came between those times."""
        rates, place, passed_s = self.rates, self.place(from_s), now_s - from_s
        if passed_s < self.length_s and self.place(now_s) == place:
            return self._replace(slot_s=self.slot_s + passed_s, slot_jobs=self.slot_jobs + jobs)
        if self.slot_s >= _OBSERVED * self.length_s:
            rate, usual = self.slot_jobs / self.slot_s, rates[place]
            rate = rate if usual == _UNSEEN else usual + LAST * (rate - usual)
            rates = (*rates[:place], rate, *rates[place + 1 :])
        return Season(self.length_s, rates)

    def foretold(self, at_s: float) -> tuple[Atom, ...]:
        """Returns the rate that is expected at that time; nothing if it was never seen."""
        rate = self.rates[self.place(at_s)]
        return () if rate == _UNSEEN else (Atom(1.0, rate, math.sqrt(rate / self.length_s)),)


def begin() -> tuple[Season, ...]:
    """Returns the seasons before anything was observed."""
    return tuple([Season(length_s, (_UNSEEN,) * slots) for length_s, slots in SLOTS])

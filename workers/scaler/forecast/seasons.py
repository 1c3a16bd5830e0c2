"""What comes at this time of the hour, of the day and of the week: one profile each, of the rounds before.

A period is cut into slots, and the mean rate of each is kept. Today may be busier than other days: by the factor by
which more came in the last leads than the profile says. The profile must have shown that it is right where it says
something else than the others (`track_record.py`): until then it is hardly heard.

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
# Leads in which today's factor is found, jobs for which it counts as 1, and the most that it may be.
# Judged by simulation: `--load days:2,3600`.
# Example: lead 31 s: 120 jobs came within 2 minutes where 80 were expected: (120 + 4) / (80 + 4) = 1.5 times as many.
FACTOR_LEADS, FACTOR_JOBS, MOST_FACTOR = 4.0, 4.0, 3.0
# Share of a slot that must have been observed for it to be kept. Design.
# Example: a scaler that begins at 9:07 keeps nothing for the ten minutes from 9:00 on.
_OBSERVED = 0.5
_UNSEEN = -1.0


class Season(NamedTuple):
    """One period's profile: `rates` in jobs/s of slots of `length_s`, what came in the present slot, and of late."""

    length_s: float
    rates: tuple[float, ...]
    slot_s: float = 0.0  # of the present slot, as far as it was observed
    slot_jobs: int = 0
    came: float = 0.0  # jobs of late, fading
    expected: float = 0.0  # as many had been expected

    def place(self, at_s: float) -> int:
        """Returns which slot of the period it is then."""
        return math.floor(at_s / self.length_s) % len(self.rates)

    def observe(self, from_s: float, now_s: float, jobs: int, lead_s: float) -> Season:
        """Returns it with what came between those times."""
        rates, place, passed_s = self.rates, self.place(from_s), now_s - from_s
        usual, known = rates[place], rates[place] != _UNSEEN
        if passed_s >= self.length_s or self.place(now_s) != place:
            if self.slot_s >= _OBSERVED * self.length_s:
                rate = self.slot_jobs / self.slot_s
                rate = usual + LAST * (rate - usual) if known else rate
                rates = (*rates[:place], rate, *rates[place + 1 :])
            return self._replace(rates=rates, slot_s=0.0, slot_jobs=0)
        fades = math.exp(-passed_s / (FACTOR_LEADS * lead_s))
        came, expected = fades * self.came + known * jobs, fades * self.expected + known * usual * passed_s
        return Season(self.length_s, rates, self.slot_s + passed_s, self.slot_jobs + jobs, came, expected)

    def foretold(self, at_s: float) -> tuple[Atom, ...]:
        """Returns the rate that is expected at that time; nothing if it was never seen."""
        rate, came = self.rates[self.place(at_s)], self.came + FACTOR_JOBS
        if rate == _UNSEEN:
            return ()
        rate *= min(max(came / (self.expected + FACTOR_JOBS), 1 / MOST_FACTOR), MOST_FACTOR)
        return (Atom(1.0, rate, math.sqrt(rate * rate / came + rate / self.length_s)),)


def begin() -> tuple[Season, ...]:
    """Returns the seasons before anything was observed."""
    return tuple([Season(length_s, (_UNSEEN,) * slots) for length_s, slots in SLOTS])

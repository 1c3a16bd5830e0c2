"""How many replicas there should be: pure functions, without clock and without I/O. `policy.py` begins with `decide`.

Every constant here says what it means, its unit, where it comes from, and an example. *Judged by simulation* means: no
paper and no law gives it; change it, run `python -m bench simulate --load LOAD --process poisson --rule leadtime` with
the load that is named beside it, and compare the jobs in time with the cost. *Design* means: it keeps the arithmetic
finite, the memory small or the time short.

Halved or doubled, most of them change little. LEAST_JOBS of the forecast, KEEP_STARTUPS and HOLD change the share of
jobs in time, or the cost, by several percent.
"""

from workers.scaler.policy.cost.price import late_jobs
from workers.scaler.policy.interface import Decision, Options, Snapshot
from workers.scaler.policy.policy import decide
from workers.scaler.policy.state import State, start

__all__ = ["Decision", "Options", "Snapshot", "State", "decide", "late_jobs", "start"]

"""The simulator against three real runs that the project's forerunner recorded on minikube, of 1,800 s each.

It scaled Celery workers by the length of their list in Redis: target 5, KEDA's poll every 30 s. A worker took 30 s to
load its model, and 5 s for a job. With acknowledgement after the job and a prefetch of 1 a worker holds one job in all,
as here. What the records do not say is read as follows, in the same way for all three:

- 32 s from a pod's order until it claims its first job: 30 s for the model, and about 2 s for the pod, its container
  and Python. (30 s to 33 s agree with the records too.)
- 5.1 s for a job: the recorded median latency of jobs that did not wait.
- No pod at the beginning, and the last ones are never taken away. With a list's length KEDA takes busy pods to 0 when
  none has waited at ten polls in a row; in the third run that would happen in most phases, with a p95 of 350 s, and it
  did not. So either there was a minimum of 1, which comes with KEDA's first poll, or a minimum of 0 and a cool-down
  that did not run out. Both readings are tested; the second agrees with the recorded medians and maxima, too.
- Pod-seconds of the 1,800 s only, of pods from their order to their end: the backlog of the third run outlasts them.
- PodSpec have no deletion cost.

The second run recorded 1,322 jobs where the load has 1,395; why is not known, and here there are all of them. When in
KEDA's and the HPA's rounds a run began is not known either: the medians over these phases are compared.
"""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.common.arrivals import arrivals, parse
from bench.simulation.actuation import KedaActuation
from bench.simulation.cluster import PodSpec, simulate
from bench.simulation.hpa import Behavior, ScalingPolicy, ScalingRules
from bench.simulation.rules import JobCount
from bench.simulation.times import constant
from bench.simulation.work import work

if TYPE_CHECKING:
    from bench.common.runs import Samples

DURATION_S = 1800.0
PHASES = 50
SLOW = ScalingRules((ScalingPolicy("Pods", 1, 60),), 300.0)


def pod_s(samples: Samples) -> float:
    """Of the load's duration."""
    found = 0.0
    for i, (since_s, until_s) in enumerate(pairwise(samples.t_s)):
        pods = sum(column[i] or 0 for column in (samples.starting, samples.ready, samples.stopping))
        found += pods * max(0.0, min(until_s, DURATION_S) - since_s)
    return found


@pytest.mark.parametrize(("minimum", "cooldown_s"), [(1, 300.0), (0, 900.0)])
@pytest.mark.parametrize(
    ("load", "behavior", "jobs", "p95_s", "recorded_pod_s", "pods"),
    [
        pytest.param("ramping", None, 990, 38.9, 5888, 7, id="default"),
        pytest.param("ramp-steady", Behavior(down=SLOW), 1395, 37.0, 8575, 7, id="slowly down"),
        pytest.param("ramp-steady", Behavior(up=SLOW, down=SLOW), 1395, 161.7, 7181, 8, id="slowly up and down"),
    ],
)
def test_the_simulator_agrees_with_what_was_recorded(
    load: str,
    behavior: Behavior | None,
    jobs: int,
    p95_s: float,
    recorded_pod_s: float,
    pods: int,
    minimum: int,
    cooldown_s: float,
) -> None:
    todo = work(arrivals(parse(load), DURATION_S, "deterministic", 0), constant(5.1), DURATION_S, 0)
    assert len(todo.arrivals_s) == jobs
    generator = np.random.default_rng(0)
    found = []
    for seed in range(PHASES):
        keda = KedaActuation(
            target=5,
            cooldown_s=cooldown_s,
            behavior=behavior,
            keda_phase_s=30 * generator.random(),
            hpa_phase_s=15 * generator.random(),
        )
        count = JobCount(running=False)
        cluster = PodSpec(constant(32), deletion_cost=False)
        result = simulate(todo, cluster, count, keda, limits=(minimum, 100), seed=seed, sample_s=DURATION_S)
        assert result.unfinished == 0
        found.append((result.percentile_s(95), pod_s(result.samples), result.peak))
    p95s, pod_seconds, peaks = zip(*found, strict=True)
    assert statistics.median(p95s) == pytest.approx(p95_s, rel=0.1)
    assert statistics.median(pod_seconds) == pytest.approx(recorded_pod_s, rel=0.1)
    assert abs(statistics.median(peaks) - pods) <= 1

"""What models ask of the budget, by what their scalers see."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.workers.scaler.doubles import FixedWorkers
from workers.scaler.decider import Decider
from workers.scaler.jobs import JobsSeen
from workers.scaler.models.one_model import ModelScaler
from workers.scaler.models.sharing import Budget, BudgetPart, claim_of, share_among
from workers.scaler.policy import Options
from workers.scaler.surroundings import ReplicasSeen, SoleLeader
from workers.stream import Stream, StreamSettings

PART = BudgetPart(1, {"pods": 1.0})
BATCHES = Options(max_replicas=8, objective_s=10.0, concurrency=8)


def scaler_that_sees(
    replicas: ReplicasSeen, waiting: int = 0, running: int = 0, busy: int = 0, options: Options = BATCHES
) -> ModelScaler:
    """Leads, and has decided once."""
    scaler = ModelScaler(Stream(StreamSettings()), options, FixedWorkers(), SoleLeader(), queue="batch")
    scaler.decider, scaler.busy = Decider(options), busy
    look(scaler, replicas, waiting, running)
    return scaler


def look(scaler: ModelScaler, replicas: ReplicasSeen, waiting: int = 0, running: int = 0, now_s: float = 1.0) -> None:
    assert scaler.decider is not None
    scaler.status.replicas = replicas
    jobs = JobsSeen(now_s, round(1000 * now_s), waiting + running, waiting, running, ())
    scaler.status.decision = scaler.decider.decide(jobs, replicas)


def test_a_pod_that_holds_no_job_is_idle_however_many_jobs_another_runs() -> None:
    claim = claim_of(scaler_that_sees(ReplicasSeen(3, 3), running=8, busy=1), PART)
    assert (claim.busy, claim.there) == (1, 3)


def test_pods_that_were_ordered_and_are_not_created_yet_take_their_part() -> None:
    assert claim_of(scaler_that_sees(ReplicasSeen(1, 1, (0.0,), unplaced=2)), PART).there == 4


def test_a_wish_that_dips_for_one_round_loses_no_pods_if_the_order_was_not_carried_out() -> None:
    """KEDA's HPA asks every 15 s: the Deployment of `first` still wants three when it is wanted to have three again."""
    first, second = (scaler_that_sees(ReplicasSeen(n, n), options=Options(min_replicas=n)) for n in (3, 1))
    first.queue, second.queue = "first", "second"
    budget = Budget({"pods": 4.0}, {"first": PART, "second": PART})

    granted = []
    for now_s, least in enumerate((3, 2, 3), 1):
        for scaler, n, fewest in ((first, 3, least), (second, 1, 1)):
            assert scaler.decider is not None
            scaler.decider.options = Options(min_replicas=fewest, max_replicas=fewest)
            look(scaler, ReplicasSeen(n, n), now_s=float(now_s))
        share_among([first, second], budget)
        granted += [scaler.status.decision.replicas for scaler in (first, second) if scaler.status.decision]

    assert granted == [3, 1, 2, 1, 3, 1]


def test_a_pod_that_was_told_to_go_is_not_replaced_before_it_is_gone() -> None:
    """The order for two was carried out before three were wanted again."""
    scaler = scaler_that_sees(ReplicasSeen(3, 3), options=Options(min_replicas=2, max_replicas=2))
    assert scaler.decider is not None
    scaler.decider.options = Options(min_replicas=3, max_replicas=3)
    budget = Budget({"pods": 3.0}, {"batch": PART})

    granted = []
    for now_s, seen in ((2.0, ReplicasSeen(2, 2, leaving=1)), (3.0, ReplicasSeen(2, 2))):
        look(scaler, seen, now_s=now_s)
        share_among([scaler], budget)
        assert scaler.status.decision is not None
        granted.append(scaler.status.decision.replicas)

    assert granted == [2, 3]


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 100), st.integers(0, 20))
def test_there_are_never_more_busy_pods_than_pods(
    total: int, ready: int, leaving: int, running: int, busy: int
) -> None:
    claim = claim_of(scaler_that_sees(ReplicasSeen(total, ready, leaving=leaving), running=running, busy=busy), PART)
    assert claim.busy <= min(claim.there, ready, busy)
    assert claim.leaving == leaving


def test_what_the_last_round_ordered_takes_its_part_though_it_cannot_be_seen_yet() -> None:
    """The order is taken back, but its pod may have been created meanwhile."""
    options = Options(max_replicas=4, objective_s=1000.0)
    first = scaler_that_sees(ReplicasSeen(1, 1), 3, 1, 1, replace(options, min_replicas=2))
    first.queue = "first"
    second = scaler_that_sees(ReplicasSeen(1, 1), 0, 1, 1, replace(options, min_replicas=2))
    second.queue = "second"
    budget = Budget({"pods": 3.0}, {"first": PART, "second": PART})
    share_among([first, second], budget)
    granted = [scaler.status.decision.replicas for scaler in (first, second) if scaler.status.decision]
    assert sorted(granted) == [1, 2]
    more, less = (first, second) if granted[0] == 2 else (second, first)
    assert more.decider is not None
    more.decider.options = replace(options, min_replicas=0, max_replicas=1)
    look(more, ReplicasSeen(1, 1), 0, 1, 2.0)
    look(less, ReplicasSeen(1, 1), 3, 1, 2.0)
    assert claim_of(more, PART).there == 2
    share_among([first, second], budget)
    granted_now = [scaler.status.decision.replicas for scaler in (more, less) if scaler.status.decision]
    assert granted_now == [1, 1]

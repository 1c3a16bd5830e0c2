"""The history's arithmetic: quantiles by weight, points of a chart, merge patches."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.page.overview import patch_of
from gateway.page.steps import Step, latencies_of, points, quantile, read_steps

VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text(max_size=2), VALUES, max_size=4)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, as its text has it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(DOCUMENTS, DOCUMENTS)
def test_a_patch_makes_one_document_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert merged(before, patch_of(before, after)) == after
    assert patch_of(after, after) == {}


def test_a_sample_weighs_what_it_stands_for() -> None:
    steps = [Step(ended=1, latencies=(9.0,)), Step(ended=99, latencies=(1.0, 2.0, 3.0))]

    assert quantile(latencies_of(steps), 0.5) == 2.0
    assert quantile(latencies_of(steps), 0.95) == 3.0
    assert quantile(latencies_of(steps), 1) == 9.0
    assert quantile([], 0.5) is None


def test_a_point_joins_the_steps_of_its_time() -> None:
    steps = [(at * 10_000, Step(arrived=at * 20, ended=10, waiting=at, latencies=(float(at),))) for at in range(4)]

    [first, second] = points(steps, 20_000)

    assert (first["at"], first["arrivals"], first["ended"], first["waiting"]) == (0, None, 1.0, 1)
    assert (second["at"], second["arrivals"], second["waiting"], second["latency_p95_s"]) == (20_000, 2.0, 3, 3.0)


def test_jobs_that_were_counted_anew_are_no_arrivals() -> None:
    found = points(
        [(0, Step(arrived=70)), (10_000, Step(arrived=3)), (20_000, Step()), (30_000, Step(arrived=9))], 10_000
    )
    assert [point["arrivals"] for point in found] == [None, None, None, None]


def test_a_step_that_is_none_is_left_out() -> None:
    assert read_steps([(1, b"{"), (2, b'{"waiting": "many"}'), (3, b'{"waiting": 7, "of_later": 1}')]) == [
        (3, Step(waiting=7))
    ]

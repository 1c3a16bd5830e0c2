"""What a batch's frames hold: each outcome is as it was, in its place, or the whole is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.model_host.protocol.batch_body import packed_answers, packed_inputs, unpacked_answers, unpacked_inputs
from workers.model_host.protocol.job_at_hand import JobAtHand
from workers.wire.encode import encode_exactly

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.text(), lambda inner: st.lists(inner, max_size=3)
)
ANSWERS = st.lists(st.tuples(st.sampled_from([b"R", b"E", b"I", b"A", b"B"]), st.binary(max_size=50)), max_size=8)


@given(st.lists(VALUES, max_size=8))
def test_inputs_stay_in_their_places(values: list[object]) -> None:
    jobs = [JobAtHand(f"job-{place}", place, folder=f"/{place}") for place in range(len(values))]
    found = unpacked_inputs(packed_inputs(jobs, map(encode_exactly, values)))
    assert [one.value for one in found] == values
    assert [one[:4] for one in found] == [(job.id, job.attempt, job.folder, job.traceparent) for job in jobs]


@given(ANSWERS)
def test_outcomes_stay_in_their_places(answers: list[tuple[bytes, bytes]]) -> None:
    assert unpacked_answers(packed_answers(answers), len(answers)) == answers


@given(ANSWERS, st.integers(0, 9))
def test_another_number_of_outcomes_is_refused(answers: list[tuple[bytes, bytes]], count: int) -> None:
    if count != len(answers):
        with pytest.raises(ValueError, match="outcomes in"):
            unpacked_answers(packed_answers(answers), count)


@given(ANSWERS.filter(bool), st.data())
def test_a_part_of_the_outcomes_is_refused(answers: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    body = packed_answers(answers)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is missing
        unpacked_answers(body[:cut], len(answers))

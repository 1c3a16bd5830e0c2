"""What the worker takes for an answer: the frame of the job at hand, as a whole, and nothing more."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.model_host.protocol.frames import CANCEL, HEAD, RESULT, Frame, FrameError, FrameReader, pack

MODEL, FORK = 4711, 4712
JOBS = st.integers(0, 4)
MOST_BYTES = 1000


def answer_of(job: int) -> bytes:
    """The answer to one job; each has another."""
    return b"answer of job %d" % job


def genuine(job: int) -> bytes:
    return pack(job, MODEL, RESULT, answer_of(job))


def torn(job: int, at: int, other: int) -> bytes:
    """The start of one frame, then the end of another of the same length."""
    return genuine(job)[:at] + genuine(other)[at:]


def damaged(job: int, at: int, mask: int) -> bytes:
    data = bytearray(genuine(job))
    data[at % len(data)] ^= mask
    return bytes(data)


SIZE = len(genuine(0))
FRAMES = st.one_of(
    st.builds(genuine, JOBS),
    st.builds(lambda job, body: pack(job, FORK, RESULT, body), JOBS, st.binary(max_size=20)),
    st.builds(lambda job, at: genuine(job)[:at], JOBS, st.integers(0, SIZE)),
    st.builds(lambda job, at: genuine(job)[at:], JOBS, st.integers(0, SIZE)),
    st.builds(torn, JOBS, st.integers(0, SIZE), JOBS),
    st.builds(damaged, JOBS, st.integers(0, SIZE), st.integers(1, 255)),
    st.binary(max_size=40),
)


@st.composite
def chunks(draw: st.DrawFn) -> list[bytes]:
    """Frames in any order, once or twice, whole or not, in pieces of any size."""
    data = b"".join(draw(st.lists(FRAMES, max_size=8)))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(chunks())
@example([genuine(0), genuine(1), genuine(2)])
@example([genuine(0), genuine(0)])
@example([genuine(0), torn(1, HEAD.size, 2)])
@example([genuine(0), genuine(2)])
@example([genuine(0), pack(1, FORK, RESULT, b"of the fork")])
def test_no_job_gets_anything_but_its_own_answer(received: list[bytes]) -> None:
    reader = FrameReader(MOST_BYTES)
    reader.pid = MODEL
    job = 0
    reader.expect(job)
    try:
        for chunk in received:
            if (frame := reader.feed(chunk)) is not None:
                assert frame == Frame(job, MODEL, RESULT, answer_of(job))
                job += 1
                reader.expect(job)
    except FrameError:  # then the process is killed, and nothing more is read from it
        pass


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=5), st.integers(1, 50))
def test_answers_in_order_are_taken_whatever_their_pieces(bodies: list[bytes], step: int) -> None:
    reader = FrameReader(MOST_BYTES)
    for job, body in enumerate(bodies):
        reader.expect(job)
        data = pack(job, MODEL, RESULT, body)
        found = [reader.feed(data[at : at + step]) for at in range(0, len(data), step)]
        assert found[-1] == Frame(job, MODEL, RESULT, body)
        assert found[:-1] == [None] * (len(found) - 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (genuine(2), f"a frame of job 2 and process {MODEL}, not of 1 and {MODEL}"),
        (pack(1, FORK, RESULT), f"a frame of job 1 and process {FORK}, not of 1 and {MODEL}"),
        (genuine(1) + b"x", "1 bytes too many"),
        (damaged(1, SIZE - 1, 1), "a damaged frame"),
        (pack(1, MODEL, RESULT, bytes(1001)), "a body of 1001 bytes, 1000 are allowed"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    reader = FrameReader(MOST_BYTES)
    reader.expect(0)
    reader.feed(genuine(0))
    reader.expect(1)

    with pytest.raises(FrameError, match=f"^{reason}$"):
        reader.feed(data)


def test_nothing_may_come_between_two_jobs() -> None:
    reader = FrameReader(MOST_BYTES)
    reader.expect(0)
    reader.feed(genuine(0))

    with pytest.raises(FrameError, match="nothing was awaited"):
        reader.feed(b"x")


def test_notices_come_before_the_answer_or_with_the_job() -> None:
    heard: list[Frame] = []
    reader = FrameReader(MOST_BYTES, (CANCEL,), heard.append, takes_more=True)
    reader.expect(1, notices_of=0)
    stale, job, cancel = pack(0, MODEL, CANCEL), genuine(1), pack(1, MODEL, CANCEL)
    assert reader.feed(stale + job + cancel[:5]) == Frame(1, MODEL, RESULT, answer_of(1))
    assert [frame.job for frame in heard] == [0]
    reader.expect(2, notices_of=1)
    assert reader.feed(cancel[5:]) is None
    assert [frame.job for frame in heard] == [0, 1]
    assert reader.feed(genuine(2) + genuine(3)) is not None
    with pytest.raises(FrameError, match="more than notices"):
        reader.expect(3, notices_of=2)


@pytest.mark.parametrize("job", [0, 2])
def test_a_notice_of_another_job_is_refused(job: int) -> None:
    reader = FrameReader(MOST_BYTES, (CANCEL,))
    reader.expect(1, notices_of=1)
    with pytest.raises(FrameError, match=f"a frame of job {job} "):
        reader.feed(pack(job, MODEL, CANCEL))


@given(st.lists(st.binary(max_size=30), max_size=6), st.integers(1, 40))
def test_notices_are_heard_in_order_whatever_their_pieces(bodies: list[bytes], step: int) -> None:
    heard: list[Frame] = []
    reader = FrameReader(MOST_BYTES, (CANCEL,), heard.append)
    reader.expect(1, notices_of=1)
    data = b"".join(pack(1, MODEL, CANCEL, body) for body in bodies) + genuine(1)
    found = [reader.feed(data[at : at + step]) for at in range(0, len(data), step)]
    assert [frame.body for frame in heard] == bodies
    assert found[-1] == Frame(1, MODEL, RESULT, answer_of(1))
    assert found[:-1] == [None] * (len(found) - 1)


@given(chunks(), st.sets(JOBS))
@example([genuine(2), genuine(1)], {1, 2})
@example([genuine(2), genuine(2)], {2})
@example([torn(1, HEAD.size, 2)], {1, 2})
def test_of_several_jobs_each_gets_its_own_answer_only(received: list[bytes], jobs: set[int]) -> None:
    reader = FrameReader(MOST_BYTES)
    reader.pid = MODEL
    reader.expect_any(jobs)
    answered = []
    try:
        for chunk in received:
            for frame in reader.feed_all(chunk):
                assert frame == Frame(frame.job, MODEL, RESULT, answer_of(frame.job))
                jobs.remove(frame.job)
                answered.append(frame.job)
    except FrameError:  # then the process is killed, and nothing more is read from it
        pass
    assert len(answered) == len(set(answered))


@given(st.permutations(range(5)), st.integers(1, 60))
def test_answers_and_notices_of_several_jobs_are_taken_in_any_order_and_pieces(order: list[int], step: int) -> None:
    heard: list[Frame] = []
    reader = FrameReader(MOST_BYTES, (CANCEL,), heard.append)
    reader.expect_any(range(5))
    data = b"".join(pack(4 - job, MODEL, CANCEL) + genuine(job) for job in order)
    found = [frame.job for at in range(0, len(data), step) for frame in reader.feed_all(data[at : at + step])]
    assert found == order
    assert [frame.job for frame in heard] == [4 - job for job in order]


def test_one_job_is_awaited_again_after_several() -> None:
    reader = FrameReader(MOST_BYTES)
    jobs = {1, 2}
    reader.expect_any(jobs)
    assert [frame.job for frame in reader.feed_all(genuine(2) + genuine(1))] == [2, 1]
    reader.expect(3)
    with pytest.raises(FrameError, match="a frame of job 2 "):
        reader.feed(genuine(2))
    reader.expect_any(jobs)
    jobs.clear()
    with pytest.raises(FrameError, match=f"a frame of job 1 and process {MODEL}, not of one at hand"):
        reader.feed(genuine(1))

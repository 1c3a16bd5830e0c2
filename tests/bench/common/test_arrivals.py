"""Load shapes, arrival processes, traces: how many jobs, and when."""

from __future__ import annotations

import contextlib
import gzip
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.common.arrivals import MAX_JOBS, PROCESSES, SHAPES, Arrival, LoadError, arrivals, parse

if TYPE_CHECKING:
    from pathlib import Path

    from bench.common.arrivals import Process

DURATION_S = 1800.0

rates = st.floats(0, 20).map(lambda rate: f"{rate:g}")
lengths = st.floats(0.5, 500)


@st.composite
def steps(draw: st.DrawFn) -> str:
    starts = sorted(draw(st.sets(st.integers(1, 400), max_size=4)))
    return ",".join([draw(rates), *(f"{draw(rates)}@{start}" for start in starts)])


@st.composite
def loads(draw: st.DrawFn) -> str:
    """The text of any load but a trace."""
    period, part = draw(lengths), draw(st.floats(0.05, 1))
    mean = draw(st.floats(0, 20))
    text = draw(
        st.one_of(
            st.sampled_from(["ramping", "spike", "ramp-steady"]),
            rates.map(lambda rate: f"constant:{rate}"),
            steps().map(lambda text: f"step:{text}"),
            st.tuples(rates, rates).map(lambda two: f"burst:{two[0]},{two[1]},{period!r},{period * part!r}"),
            st.just(f"sine:{mean!r},{mean * part!r},{period!r}"),
        )
    )
    return text + draw(st.sampled_from(["", "*3", "*0.25"]))


def assert_integral(text: str, until_s: float, duration_s: float, expected: float) -> None:
    """Of the rate, by the midpoint rule, which knows no closed form. Where the rate jumps it is off by a step."""
    load, n = parse(text), 4000
    step = until_s / n
    rates = [load.rate((i + 0.5) * step, duration_s) for i in range(n)]
    assert expected == pytest.approx(step * math.fsum(rates), rel=0.02, abs=0.05 + 2 * step * max(rates))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("ramping", 990),
        ("spike", 380),
        ("ramp-steady", 1395),
        ("ramping*3", 2970),
        ("constant:2", 3600),
        ("step:0.2,2@600", 2520),
        ("burst:1,10,60,5", 3150),
        ("sine:1,1,100", 1800),
        ("constant:0", 0),
        ("ramping*0", 0),
    ],
)
def test_count_of_the_old_experiments_length(text: str, count: int) -> None:
    assert len(arrivals(parse(text), DURATION_S, "deterministic", 0)) == count
    assert parse(text).expected(DURATION_S) == pytest.approx(count)


@pytest.mark.parametrize(
    ("text", "t_s", "rate"),
    [
        ("ramping", 0, 0.1),
        ("ramping", 900, 0.55),
        ("ramping", 1800, 1.0),
        ("spike", 0, 1.1),
        ("spike", 1800 / 256, 0.6),
        ("spike", 1800, 0.1),
        ("ramp-steady", 0, 0.1),
        ("ramp-steady", 450, 0.55),
        ("ramp-steady", 900, 1.0),
        ("ramp-steady*2", 1700, 2.0),
        ("step:0.2,2@600,0@900", 599.9, 0.2),
        ("step:0.2,2@600,0@900", 600, 2.0),
        ("step:0.2,2@600,0@900", 900, 0.0),
        ("burst:1,10,60,5", 114.9, 1.0),
        ("burst:1,10,60,5", 115, 10.0),
        ("burst:1,10,60,5", 120, 1.0),
        ("sine:3,2,100", 25, 5.0),
        ("constant:7", 1801, 0.0),
        ("constant:7", -1, 0.0),
    ],
)
def test_rate(text: str, t_s: float, rate: float) -> None:
    assert parse(text).rate(t_s, DURATION_S) == pytest.approx(rate)


@given(loads(), st.floats(1, 500))
@settings(max_examples=30, deadline=None)
def test_deterministic_job_k_comes_where_the_integral_reaches_k(text: str, duration_s: float) -> None:
    load = parse(text)
    found = [arrival.at_s for arrival in arrivals(load, duration_s, "deterministic", 0)]
    expected = load.expected(duration_s)
    assert_integral(text, duration_s, duration_s, expected)
    assert len(found) == math.floor(expected + 1e-6) or len(found) == math.floor(expected)
    assert all(0 < at_s <= duration_s for at_s in found)
    assert all(early <= late for early, late in pairwise(found))
    for k in {1, len(found) // 2, len(found)} - {0}:
        if k <= len(found):
            assert_integral(text, found[k - 1], duration_s, k)


@given(loads(), st.floats(1, 500), st.integers(0, 2**64))
@settings(max_examples=30, deadline=None)
def test_poisson_times_are_those_of_the_seed(text: str, duration_s: float, seed: int) -> None:
    load = parse(text)
    found = arrivals(load, duration_s, "poisson", seed)
    assert found == arrivals(parse(text), duration_s, "poisson", seed)
    assert all(0 <= arrival.at_s <= duration_s for arrival in found)
    assert all(early.at_s <= late.at_s for early, late in pairwise(found))
    if len(found) > 3:
        assert found != arrivals(load, duration_s, "poisson", seed + 1)


@pytest.mark.parametrize("text", ["constant:2", "ramping", "spike", "ramp-steady", "burst:1,10,60,5", "sine:1,1,100"])
def test_poisson_counts_have_its_mean_and_variance(text: str) -> None:
    load, runs = parse(text), 60
    counts = [len(arrivals(load, DURATION_S, "poisson", seed)) for seed in range(runs)]
    mean = sum(counts) / runs
    variance = sum((count - mean) ** 2 for count in counts) / (runs - 1)
    expected = load.expected(DURATION_S)
    # Five standard deviations of the mean, and of the variance, of 60 such counts.
    assert abs(mean - expected) < 5 * math.sqrt(expected / runs)
    assert abs(variance / expected - 1) < 5 * math.sqrt(2 / runs)


def test_poisson_follows_the_rate() -> None:
    found = arrivals(parse("step:1,9@900"), DURATION_S, "poisson", 5)
    early = sum(arrival.at_s < 900 for arrival in found)
    assert abs(early - 900) < 5 * math.sqrt(900)
    assert abs(len(found) - early - 8100) < 5 * math.sqrt(8100)


def test_gaps_of_a_constant_poisson_load_are_exponential() -> None:
    times = [arrival.at_s for arrival in arrivals(parse("constant:10"), 2000, "poisson", 3)]
    gaps = [late - early for early, late in pairwise(times)]
    n = len(gaps)
    for at in (0.5, 1.0, 2.0, 3.0):  # multiples of the mean gap
        share = sum(gap * 10 > at for gap in gaps) / n
        assert abs(share - math.exp(-at)) < 5 * math.sqrt(math.exp(-at) / n)


@pytest.mark.parametrize("process", PROCESSES)
def test_nothing_comes_while_the_rate_is_zero(process: Process) -> None:
    found = arrivals(parse("step:0,5@100,0@200,5@300"), 400, process, 1)
    assert found
    assert all(100 < arrival.at_s <= 200 or arrival.at_s > 300 for arrival in found)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_trace(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"jobs{suffix}"
    text = b"arrival_s,service_s\n0.5,2\n3,\n1.25,0\n\n99,1.5\n"
    file.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    load = parse(f"trace:{file}")
    wanted = [Arrival(0.5, 2.0), Arrival(1.25, 0.0), Arrival(3.0), Arrival(99.0, 1.5)]
    assert arrivals(load, None, "poisson", 1) == wanted
    assert arrivals(load, 3, "deterministic", 2) == wanted[:3]
    assert load.is_trace
    assert load.expected(3) == 4
    with pytest.raises(LoadError, match="no rate"):
        load.rate(1, 3)


def test_trace_of_arrivals_alone(tmp_path: Path) -> None:
    file = tmp_path / "with: a * in its name.csv"
    file.write_text("arrival_s\r\n1\r\n2\r\n")
    assert arrivals(parse(f"trace:{file}"), None, "poisson", 1) == [Arrival(1.0), Arrival(2.0)]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "no column arrival_s"),
        (b"1\n2\n", "no column arrival_s"),
        (b"arrival_s,service_s\n1\n", "line 2: 1 columns"),
        (b"arrival_s\n1\nsoon\n", "line 3: arrival_s must be a number of at least 0, not 'soon'"),
        (b"arrival_s\n-1\n", "line 2: arrival_s"),
        (b"arrival_s\nnan\n", "line 2: arrival_s"),
        (b"arrival_s,service_s\n1,-2\n", "line 2: service_s"),
        (b"\xff\xfe\n", "can't be read"),
    ],
)
def test_trace_that_is_none(tmp_path: Path, content: bytes, what: str) -> None:
    file = tmp_path / "jobs.csv"
    file.write_bytes(content)
    with pytest.raises(LoadError, match=what):
        parse(f"trace:{file}")


@pytest.mark.parametrize("content", [b"arrival_s\n1\n", gzip.compress(b"arrival_s\n1\n" * 100, mtime=0)[:-20]])
def test_trace_that_is_no_whole_gzip_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "jobs.csv.gz"
    file.write_bytes(content)
    with pytest.raises(LoadError, match="can't be read"):
        parse(f"trace:{file}")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no load ''"),
        ("Ramping up", "no load 'Ramping up': it is one of constant, ramping"),
        ("constant", "takes RATE, and not ''"),
        ("constant:1,2", "takes RATE, and not '1,2'"),
        ("constant:-1", "at least 0, not '-1'"),
        ("constant:inf", "at least 0"),
        ("constant:1_0*x", "the factor"),
        ("ramping*-1", "the factor"),
        ("ramping*2*3", "the factor"),
        ("spike:2", "takes no numbers"),
        ("step:", "the first RATE"),
        ("step:1,2", "lacks the second"),
        ("step:1,2@5,3@5", "must rise"),
        ("step:1,2@0", "must rise"),
        ("burst:1,2,3", "takes RATE, PEAK, PERIOD_S, LENGTH_S"),
        ("burst:1,2,3,4", "LENGTH_S"),
        ("burst:1,2,3,0", "LENGTH_S"),
        ("sine:1,2,3", "AMPLITUDE"),
        ("sine:1,1,0", "PERIOD_S"),
        ("trace:/there/is/no/such/file", "No such file"),
    ],
)
def test_load_that_is_none(text: str, what: str) -> None:
    with pytest.raises(LoadError, match=what):
        parse(text)


texts_of_shapes = st.builds("{}:{}".format, st.sampled_from(list(SHAPES)), st.text(max_size=20))


@given(st.text(max_size=30) | texts_of_shapes)
@settings(deadline=None)
@example("trace:\0")
def test_any_text_is_a_load_or_an_error_of_its_own(text: str) -> None:
    with contextlib.suppress(LoadError):
        assert parse(text).shape is not None


@pytest.mark.parametrize("duration_s", [0, -1, math.nan, math.inf, None])
def test_duration_that_is_none(duration_s: float | None) -> None:
    with pytest.raises(LoadError, match="duration"):
        arrivals(parse("constant:1"), duration_s, "poisson", 1)


def test_limits() -> None:
    with pytest.raises(LoadError, match=f"more than {MAX_JOBS:,}"):
        arrivals(parse("constant:1e9"), 10, "poisson", 1)
    with pytest.raises(LoadError, match="seed"):
        arrivals(parse("constant:1"), 10, "poisson", -1)

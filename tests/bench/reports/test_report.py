"""Tables, plots and the page of runs: what they say, that they need nothing, and that no file can break them."""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
from dataclasses import asdict, fields
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.common.runs import OUTCOMES, JobColumns, Run, RunError, Samples, read, write
from bench.reports import command
from bench.reports.page import page
from bench.reports.plots import Plot, plots
from bench.reports.series import arrival_rate, in_flight, percentiles_over_time
from bench.reports.summary import summary
from bench.reports.table import percent, seconds, tables, text

if TYPE_CHECKING:
    from pathlib import Path

EVIL = '<script>alert("1")</script><img src=http://example.org/x>&$x^{$\x1b[2J'
PNG = b"\x89PNG\r\n\x1a\n"


def add_job(
    jobs: JobColumns,
    scheduled_s: float,
    latency_s: float | None = None,
    outcome: str = "finished",
    code: int | None = None,
    attempts: int | None = 1,
) -> None:
    """One that was sent in time, started half way, and ended after its latency."""
    ended = None if latency_s is None else scheduled_s + latency_s
    half = None if latency_s is None else scheduled_s + latency_s / 2
    row: dict[str, Any] = {
        "scheduled_s": scheduled_s, "sent_s": scheduled_s, "accepted_s": None if outcome == "refused" else scheduled_s,
        "started_s": half, "finished_s": ended, "ended_s": ended, "outcome": outcome, "status_code": code,
        "attempts": attempts, "id": None,
    }  # fmt: skip
    for name, value in row.items():
        getattr(jobs, name).append(value)


def add_sample(samples: Samples, t_s: float, **seen: float) -> None:
    """A look that saw this much."""
    samples.t_s.append(t_s)
    for name in {field.name for field in fields(samples)} - {"t_s"}:
        getattr(samples, name).append(seen.get(name))


def run_of(name: str = "one", kind: str = "load") -> Run:
    """100 jobs of 1 to 100 s of latency, one a second; two more that did not finish; pods for 100 s."""
    run = Run(kind, name, 100.0, {"load": "constant:1", "seed": 1}, {"python": "3.11"}, "2026-01-01T00:00:00+00:00")
    for n in range(1, 101):
        add_job(run.jobs, float(n), float(n), attempts=2 if n % 10 == 0 else 1)
    add_job(run.jobs, 100.0, outcome="refused", code=503, attempts=None)
    add_job(run.jobs, 100.0, outcome="lost", attempts=None)
    for t in range(101):
        add_sample(run.samples, float(t), waiting=t, running=2, wanted=3, starting=1, ready=2, stopping=0, forecast=1.5)
    run.events.append({"t_s": 50.0, "what": "a worker was killed"})
    run.notes.append("A note.")
    return run


def simulated(name: str = "simulated") -> Run:
    """What a simulation knows."""
    run = run_of(name, "simulation")
    run.started, run.versions = "", {}
    run.jobs.sent_s = [None] * len(run.jobs.sent_s)
    run.samples.stopping = [None] * len(run.samples.t_s)
    return run


def test_summary() -> None:
    found = summary(run_of(), objective_s=50.0)
    assert (found.p50_s, found.p95_s, found.p99_s, found.most_s) == (50.0, 95.0, 99.0, 100.0)
    assert found.mean_s == pytest.approx(50.5)
    assert (found.start_p50_s, found.start_p95_s) == (25.0, 47.5)
    assert found.within == pytest.approx(50 / 102), "those that did not finish missed it, too"
    assert found.outcomes == {"finished": 100, "refused": 1, "lost": 1}
    assert found.refusals == {"503": 1}
    assert found.retried == 10
    assert found.pod_s == 300.0
    assert found.most_waiting == 100
    assert found.most_pods == 3
    assert found.late == 0


def test_pods_that_could_not_be_seen_are_as_many_as_before() -> None:
    run = run_of()
    for i in range(20, 40):
        run.samples.ready[i] = run.samples.starting[i] = run.samples.stopping[i] = None
    assert run.pod_s == 300.0


def test_summary_of_nothing() -> None:
    found = summary(Run("load", "empty", 0.0), 1.0)
    assert found.jobs == 0
    for value in (
        found.p50_s,
        found.mean_s,
        found.within,
        found.pod_s,
        found.most_waiting,
        found.most_pods,
        found.late,
    ):
        assert math.isnan(value)


def test_percentiles_over_time_are_those_of_the_window_s_jobs() -> None:
    times, found = percentiles_over_time(run_of())
    assert len(times) == 5
    assert times[0] == pytest.approx(10)
    # Jobs 1 to 19 are in the first 20 s, 80 to 100 in the last.
    assert list(found[0]) == [10, 19, 19]
    assert list(found[-1]) == [90, 99, 100]


def test_arrivals_and_jobs_in_flight() -> None:
    bounds, rate = arrival_rate(run_of())
    assert (rate * (bounds[1:] - bounds[:-1])).sum() == pytest.approx(102)
    times, count = in_flight(run_of())
    assert count[-1] == 1, "the lost one never ended"
    assert count.max() == 52, "51 to 100, the lost one, and for a moment the one that ends as the last one comes"
    assert list(times) == sorted(times)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.000"),
        (0.00123, "0.0012"),
        (0.123, "0.123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (math.nan, ""),
    ],
)
def test_seconds(value: float, shown: str) -> None:
    assert seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.99999, "99.9 %"), (0.00001, "0.1 %"), (0.5, "50.0 %"), (math.nan, "")],
)
def test_percent_of_almost_all_is_not_all(value: float, shown: str) -> None:
    assert percent(value) == shown


def test_table_puts_runs_side_by_side() -> None:
    found = text(tables([summary(run, 50.0) for run in (run_of("first"), simulated("second"))]))
    assert "within 50 s" in found
    assert len(re.findall(r"^  first ", found, re.MULTILINE)) == 3
    assert len(re.findall(r"^  second ", found, re.MULTILINE)) == 3
    for word in ("p50", "p95", "p99", "finished", "lost", "503: 1", "pod-seconds", "300", "49.0 %"):
        assert word in found


def test_table_without_figures_has_no_columns_for_them() -> None:
    run = run_of()
    run.samples = Samples()
    found = text(tables([summary(run)]))
    assert "pod-seconds" not in found
    assert "within" not in found


def test_name_does_not_move_the_cursor() -> None:
    assert "\x1b" not in text(tables([summary(run_of(EVIL))]))


class Page(HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(runs: list[Run], title: str = "") -> tuple[Page, str]:
    """The page of these runs, with one picture, and its source."""
    source = page(title, runs, tables([summary(run, 50.0) for run in runs]), [Plot("backlog", "Jobs", PNG)])
    read_page = Page()
    read_page.feed(source)
    return read_page, source


def evil_run() -> Run:
    """Markup wherever a file may hold a text."""
    run = run_of(EVIL)
    run.kind = run.started = EVIL
    run.parameters = {EVIL: EVIL, "list": [EVIL, 1, None], "object": {EVIL: 1.5}}
    run.versions = {EVIL: EVIL}
    run.events.append({"t_s": 1.0, "what": EVIL})
    run.notes.append(EVIL)
    run.jobs.outcome[3] = EVIL
    return run


def test_page_needs_nothing_from_anywhere() -> None:
    found, source = page_of([evil_run(), simulated()], EVIL)
    allowed = {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "div", "table", "thead", "tbody", "tr",
        "th", "td", "img", "section", "p",
    }  # fmt: skip
    assert {tag for tag, _ in found.tags} <= allowed
    addresses = [
        value for _, attributes in found.tags for name, value in attributes.items() if name in ("src", "href", "srcset")
    ]
    assert len(addresses) == 1
    assert str(addresses[0]).startswith("data:image/png;base64,")
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert "url(" not in source
    assert "@import" not in source
    [policy] = [a["content"] for tag, a in found.tags if tag == "meta" and a.get("http-equiv")]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_page_says_all_of_each_run() -> None:
    found, _ = page_of([evil_run(), simulated("second run")])
    assert EVIL in found.text
    for word in ("second run", "constant:1", "seed", "A note.", "a worker was killed", "50 s", "pod-seconds"):
        assert word in found.text


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_pictures(tmp_path: Path, count: int) -> None:
    runs = [run_of(f"größe {n} 日本 $x^{{$") for n in range(count)]
    runs[-1] = simulated()
    command.write(runs, tmp_path, objective_s=10.0)
    names = {file.stem for file in tmp_path.glob("*.png") if file.read_bytes().startswith(PNG)}
    assert names == {"latency-histogram", "latency-over-time", "replicas", "backlog", "arrivals"}


def test_only_what_there_is_is_drawn() -> None:
    assert plots([Run("load", "empty", 10.0)]) == []
    run = run_of()
    run.samples = Samples()
    assert {plot.name for plot in plots([run])} == {"latency-histogram", "latency-over-time", "backlog", "arrivals"}
    found, _ = page_of([Run("simulation", "empty", 0.0)])
    assert "empty" in found.text


times = st.floats(0, 1e6)
maybe = st.none() | times


@st.composite
def any_runs(draw: st.DrawFn) -> Run:
    """A run in which anything may be null or far from the rest."""
    run = Run("load", draw(st.text(max_size=8)), draw(times))
    for _ in range(draw(st.integers(0, 6))):
        for name in asdict(run.jobs):
            column = getattr(run.jobs, name)
            match name:
                case "scheduled_s":
                    column.append(draw(times))
                case "outcome":
                    column.append(draw(st.sampled_from(OUTCOMES) | st.text(max_size=5)))
                case "id":
                    column.append(draw(st.none() | st.text(max_size=5)))
                case "status_code" | "attempts":
                    column.append(draw(st.none() | st.integers(0, 999)))
                case _:
                    column.append(draw(maybe))
    for t_s in sorted(draw(st.lists(times, max_size=5))):
        run.samples.t_s.append(t_s)
        for name in asdict(run.samples).keys() - {"t_s"}:
            getattr(run.samples, name).append(draw(st.none() | st.integers(0, 100)))
    return run


objectives = st.none() | st.floats(0.001, 1e6)


@given(any_runs(), objectives)
@settings(max_examples=3, deadline=None)
@pytest.mark.slow
def test_any_run_can_be_drawn(run: Run, objective_s: float | None) -> None:
    for plot in plots([run], objective_s):
        assert plot.png.startswith(PNG)


@given(st.lists(any_runs(), min_size=1, max_size=3), objectives)
@settings(max_examples=25, deadline=None)
def test_any_run_can_be_told(runs: list[Run], objective_s: float | None) -> None:
    for run in runs:
        for _, values in (percentiles_over_time(run), arrival_rate(run), in_flight(run)):
            assert len(values) >= 0
    found = tables([summary(run, objective_s) for run in runs])
    assert text(found)
    assert page("", runs, found, [])


def broken(**change: Any) -> bytes:
    """A run's file with something else in it."""
    document: dict[str, Any] = asdict(run_of())
    for path, value in change.items():
        *parents, last = path.split("__")
        part = document
        for parent in parents:
            part = part[parent]
        part[last] = value
    return gzip.compress(json.dumps(document).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip at all",
        gzip.compress(b"no JSON", mtime=0),
        gzip.compress(b"[]", mtime=0),
        gzip.compress(b"{}", mtime=0),
        broken()[:-30],
        broken(format="leadtime-run/0"),
        broken(name=3),
        broken(duration_s="long"),
        broken(duration_s=-1),
        broken(extra=1),
        broken(jobs__scheduled_s=[]),
        broken(jobs__scheduled_s=[None] * 102),
        broken(jobs__ended_s=["late"] * 102),
        broken(jobs__outcome=[1] * 102),
        broken(jobs__attempts=[True] * 102),
        broken(jobs__id=[{}] * 102),
        broken(samples__t_s=[None] * 101),
        broken(samples__waiting=[[]] * 101),
        broken(samples__waiting="x" * 101),
        broken(parameters=[]),
        broken(versions=None),
        broken(notes=[1]),
        broken(events=[{"t_s": 1}]),
        broken(events=[{"t_s": None, "what": ""}]),
        broken(events=["what"]),
    ],
)
def test_file_that_is_none_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = tmp_path / "run.json.gz"
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"run\.json\.gz"):
        read(file)
    monkeypatch.setattr(sys, "argv", ["report", str(file), "--output", str(tmp_path / "report")])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("python -m bench report: ")
    assert not (tmp_path / "report").exists()


def report(patch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    """As from the command line."""
    patch.setattr(sys, "argv", ["report", *map(str, arguments)])
    command.main()


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write(run_of("one of them"), tmp_path / "a")
    write(simulated("second"), tmp_path / "b")
    folder = tmp_path / "new" / "folder"
    names = ("--names", "A", "B", "--objective", "50", "--title", "Two runs")
    report(monkeypatch, tmp_path / "a", tmp_path / "b", "--output", folder, *names)
    said = capsys.readouterr().out
    for word in ("  A ", "  B ", "within 50 s", "A: A note.", str(folder / command.PAGE)):
        assert word in said
    written = (folder / command.PAGE).read_text(encoding="utf-8")
    assert "<title>Two runs</title>" in written
    assert "one of them" not in written
    assert written.count("data:image/png;base64,") == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/no/such/file",), "No such file"),
        (("{run}", "--names", "A", "B"), "2 names for 1 runs"),
        (("{run}", "--output", "{run}"), "File exists"),
        (("{run}", "--objective", "0"), "more than 0 is needed"),
        ((), "FILE"),
    ],
)
def test_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    write(run_of(), tmp_path / "run")
    with pytest.raises(SystemExit) as ended:
        report(monkeypatch, *(argument.format(run=tmp_path / "run") for argument in arguments))
    assert ended.value.code == 2
    assert said in capsys.readouterr().err

"""Each alert fires when it should, and not otherwise: promtool runs the rules on series that are written down here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from tests.deploy.chart.alerting import rules_of, write_rules
from tests.deploy.chart.rendered import FILES, rendered, rendering
from tests.prometheus import is_there, promtool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not is_there(), reason="needs prometheus and promtool")]

MODELS = [{"name": "whisper", "scaling": "scaler", "objectiveSeconds": 20}, {"name": "quick", "scaling": "scaler"}]
MONITORING = {"monitors": {"enabled": True}, "rules": {"enabled": True}}
OF_RELEASE = 'namespace="leadtime",release="leadtime"'
OF_WHISPER = f'{OF_RELEASE},queue="whisper"'
OF_QUICK = f'{OF_RELEASE},queue="quick"'
OF_ANOTHER = 'namespace="leadtime",release="another",queue="whisper"'
WAIT, READY, MEMORY = "leadtime_jobs_longest_wait_seconds", "leadtime_worker_ready", "leadtime_server_memory"


class AlertCase(NamedTuple):
    """Whether an alert fires at the 30th minute of some series, with a value each minute; `5x3` is 5, three times."""

    name: str
    alert: str
    fires: bool
    series: dict[str, str]


def attempts(labels: str, retried: int, finished: int) -> dict[str, str]:
    """So many more each minute, by how they ended."""
    name = "leadtime_worker_jobs_total"
    return {
        f'{name}{{outcome="retried",{labels}}}': f"0+{retried}x30",
        f'{name}{{outcome="finished",{labels}}}': f"0+{finished}x30",
    }


def memory(used_mb: int, most_mb: int) -> dict[str, str]:
    """Of the server, all the time."""
    return {
        f"{MEMORY}_used_bytes{{{OF_RELEASE}}}": f"{used_mb}e6x30",
        f"{MEMORY}_max_bytes{{{OF_RELEASE}}}": f"{most_mb}e6x30",
    }


CASES = [
    AlertCase("a wait beyond the objective", "LeadtimeJobsWaitTooLong", True, {f"{WAIT}{{{OF_WHISPER}}}": "21x30"}),
    AlertCase("a wait within it", "LeadtimeJobsWaitTooLong", False, {f"{WAIT}{{{OF_WHISPER}}}": "19x30"}),
    AlertCase("a wait that was short", "LeadtimeJobsWaitTooLong", False, {f"{WAIT}{{{OF_WHISPER}}}": "0x26 21x3"}),
    AlertCase("a wait of another release", "LeadtimeJobsWaitTooLong", False, {f"{WAIT}{{{OF_ANOTHER}}}": "21x30"}),
    AlertCase(
        "a wait where nothing is promised", "LeadtimeJobsWaitTooLong", False, {f"{WAIT}{{{OF_QUICK}}}": "299x30"}
    ),
    AlertCase("too long a wait there", "LeadtimeJobsWaitTooLong", True, {f"{WAIT}{{{OF_QUICK}}}": "301x30"}),
    AlertCase(
        "jobs wait and workers load",
        "LeadtimeNoWorkerForWaitingJobs",
        True,
        {f"{WAIT}{{{OF_WHISPER}}}": "1+60x30", f'{READY}{{{OF_WHISPER},pod="a"}}': "0x30"},
    ),
    AlertCase("jobs wait, no worker", "LeadtimeNoWorkerForWaitingJobs", True, {f"{WAIT}{{{OF_WHISPER}}}": "1+60x30"}),
    AlertCase("no job, no worker", "LeadtimeNoWorkerForWaitingJobs", False, {f"{WAIT}{{{OF_WHISPER}}}": "0x30"}),
    AlertCase(
        "a model loads for less", "LeadtimeNoWorkerForWaitingJobs", False, {f"{WAIT}{{{OF_WHISPER}}}": "0x22 1+60x7"}
    ),
    AlertCase(
        "one worker is ready",
        "LeadtimeNoWorkerForWaitingJobs",
        False,
        {
            f"{WAIT}{{{OF_WHISPER}}}": "1+60x30",
            f'{READY}{{{OF_WHISPER},pod="a"}}': "0x30",
            f'{READY}{{{OF_WHISPER},pod="b"}}': "1x30",
        },
    ),
    AlertCase("one more", "LeadtimeDeadLettersGrow", True, {f"leadtime_dead_letters{{{OF_WHISPER}}}": "3x24 4x5"}),
    AlertCase("as many as ever", "LeadtimeDeadLettersGrow", False, {f"leadtime_dead_letters{{{OF_WHISPER}}}": "3x30"}),
    AlertCase("fewer", "LeadtimeDeadLettersGrow", False, {f"leadtime_dead_letters{{{OF_WHISPER}}}": "3x24 1x5"}),
    AlertCase("one in six is tried again", "LeadtimeAttemptsRise", True, attempts(OF_WHISPER, 2, 10)),
    AlertCase("one in twenty-one is", "LeadtimeAttemptsRise", False, attempts(OF_WHISPER, 1, 20)),
    AlertCase("no job at all", "LeadtimeAttemptsRise", False, attempts(OF_WHISPER, 0, 0)),
    AlertCase("another release's are", "LeadtimeAttemptsRise", False, attempts(OF_ANOTHER, 2, 10)),
    AlertCase("it holds", "LeadtimeScalerHolds", True, {f"leadtime_scaler_holding{{{OF_WHISPER}}}": "0x26 1x3"}),
    AlertCase("it held", "LeadtimeScalerHolds", False, {f"leadtime_scaler_holding{{{OF_WHISPER}}}": "1x26 0x3"}),
    AlertCase("nearly full", "LeadtimeServerMemory", True, memory(290, 320)),
    AlertCase("half full", "LeadtimeServerMemory", False, memory(160, 320)),
    AlertCase("without a limit", "LeadtimeServerMemory", False, memory(290, 0)),
]


@pytest.mark.parametrize("name", [name for name in FILES if rendered(name).of_kind("PrometheusRule")])
def test_the_rules_of_each_file_of_values_are_valid(name: str, tmp_path: Path) -> None:
    code, said = promtool("check", "rules", write_rules(rendered(name), tmp_path))
    assert code == 0, said


def test_each_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    """One run of promtool for all: what it says names the series and the alert that is not as it should be."""
    chart = rendering(models=MODELS, monitoring=MONITORING)
    rules, file = write_rules(chart, tmp_path), tmp_path / "tests.yaml"
    assert {case.alert for case in CASES if case.fires} == {rule["alert"] for rule in rules_of(chart)}

    def expected(case: AlertCase) -> list[dict[str, object]]:
        """The alert as its rule writes it; of a model, that of the queue of the series."""
        of_queue = "quick" if OF_QUICK in next(iter(case.series)) else "whisper"
        (rule,) = (
            one
            for one in rules_of(chart)
            if one["alert"] == case.alert and one["labels"].get("queue") in (None, of_queue)
        )
        return [{"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}]

    file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(rules)],
                "evaluation_interval": "1m",
                "tests": [
                    {
                        "name": case.name,
                        "interval": "1m",
                        "input_series": [{"series": name, "values": case.series[name]} for name in case.series],
                        "alert_rule_test": [
                            {
                                "eval_time": "30m",
                                "alertname": case.alert,
                                "exp_alerts": expected(case) if case.fires else [],
                            }
                        ],
                    }
                    for case in CASES
                ],
            }
        ),
        encoding="utf-8",
    )
    code, said = promtool("test", "rules", file)
    assert code == 0, said

"""The chart's rules as a file of Prometheus', and its dashboard's queries."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from deploy.kubernetes.chart import CHART
from tests.deploy.chart.rendered import component_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.chart.rendered import Rendered


def write_rules(chart: Rendered, folder: Path) -> Path:
    """A file with the groups of the chart's PrometheusRule."""
    (rule,) = chart.of_kind("PrometheusRule")
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": rule["spec"]["groups"]}), encoding="utf-8")
    return file


def rules_of(chart: Rendered) -> list[dict[str, Any]]:
    """Its alerts."""
    (rule,) = chart.of_kind("PrometheusRule")
    return [one for group in rule["spec"]["groups"] for one in group["rules"]]


def labels_of(chart: Rendered, component: str, queue: str = "") -> dict[str, str]:
    """What Prometheus' operator adds to the series of a part's pods, by its PodMonitor."""
    (endpoint,) = (
        monitor["spec"]["podMetricsEndpoints"][0]
        for monitor in chart.of_kind("PodMonitor")
        if component_of(monitor) == component
        and queue in ("", monitor["spec"]["selector"]["matchLabels"].get("leadtime/model"))
    )
    added = {one["targetLabel"]: one["replacement"] for one in endpoint["relabelings"]}
    return {"namespace": "leadtime", **added}


class Query(NamedTuple):
    """One of the dashboard's, for all that its variables may be."""

    panel: str
    expression: str


def dashboard_queries() -> list[Query]:
    """All of its panels'."""
    dashboard = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    return [
        Query(panel["title"], re.sub(r"\$(namespace|release|queue)", ".*", target["expr"]))
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


def variable_queries() -> dict[str, tuple[str, str]]:
    """For each of the dashboard's variables the metric and the label that it reads."""
    dashboard = json.loads((CHART / "files/dashboard.json").read_text(encoding="utf-8"))
    found = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]["query"])
            assert match is not None, variable
            found[variable["name"]] = (match[1], match[2])
    return found


def sides(expression: str) -> list[str]:
    """Parts of an alert's expression that must have a value, whether it fires or not: comparisons yield 0 or 1."""
    return [side.replace(" > ", " > bool ") for side in " ".join(expression.split()).split(" unless ")]

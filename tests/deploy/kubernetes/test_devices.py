"""Devices that models ask for and no node has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.kubernetes import chart, devices, helm, rollout

GPU = "nvidia.com/gpu"


def node(gpus: str = "") -> dict[str, Any]:
    return {"status": {"allocatable": {"cpu": "4"} | ({GPU: gpus} if gpus else {})}}


def said(asked: int, *nodes: dict[str, Any]) -> dict[str, str]:
    model = {"name": "whisper", "resources": {"limits": {GPU: asked}}}
    manifests = chart.render({"models": [model, {"name": "toy"}]})
    return devices.missing(manifests, nodes)


@pytest.mark.parametrize(
    ("asked", "nodes", "has"),
    [
        (1, [], "no node has any, or has its device plugin"),
        (1, [node()], "no node has any, or has its device plugin"),
        (2, [node("1"), node("1")], "the most that a node has is 1"),
    ],
)
def test_a_device_that_no_node_has_is_said_when_it_is_deployed(
    asked: int, nodes: list[dict[str, Any]], has: str
) -> None:
    assert said(asked, *nodes) == {"leadtime-whisper": f"asks for {asked} {GPU}, but {has}"}


def test_a_device_that_a_node_has_is_not_worth_a_word() -> None:
    assert said(1, node(), node("1")) == {}


def test_after_deploy_a_command_says_what_no_scaler_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"name": "whisper", "scaling": "streams", "resources": {"limits": {GPU: 1}}}
    monkeypatch.setattr(devices, "answer", lambda *_: json.dumps({"items": [node()]}))

    assert devices.say_what_is_missing(chart.render({"models": [model]})) == ["deployment/leadtime-whisper"]

    said = "".join(capsys.readouterr())
    assert f"a pod of leadtime-whisper asks for 1 {GPU}" in said
    assert "this says why: kubectl -n leadtime get events --field-selector type=Warning" in said


@pytest.mark.skipif(helm.library() is None, reason="there is no wheel of Helm for this machine")
def test_the_chart_says_what_to_do_for_pods_without_a_place() -> None:
    library = helm.library()
    streams = {"name": "whisper", "scaling": "streams", "resources": {"limits": {GPU: 1, "cpu": 1}}}
    with library.Chart.load(chart.CHART) as loaded:
        notes, plain = (
            loaded.render(values, name="speech", namespace="ml")["leadtime/templates/NOTES.txt"]
            for values in ({"models": [streams, streams | {"name": "llava"}]}, {})
        )

    assert "kubectl -n ml get events --field-selector type=Warning" in notes
    assert "No scaler says it of models with scaling: streams." in notes
    assert f"A node needs {GPU} for whisper, llava" in notes
    assert ".status.allocatable.nvidia\\.com/gpu'" in notes
    assert "get events" in plain
    assert "streams" not in plain
    assert "A node needs" not in plain


def test_pods_that_find_no_node_are_said_while_deploy_waits_for_them() -> None:
    def pod(name: str, **condition: str) -> dict[str, Any]:
        status = {"conditions": [{"type": "PodScheduled", **condition}]}
        return {"kind": "Pod", "metadata": {"name": name}, "status": status}

    waits = {"status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}
    pods = [pod("leadtime-toy-1", status="True"), pod("leadtime-toy-2", **waits), pod("other-1", **waits)]
    assert rollout.without_a_place("leadtime-toy", pods) == ["0/1 nodes are available: 1 Insufficient cpu."]


def test_pods_that_a_quota_keeps_from_being_created_are_said_while_deploy_waits_for_them() -> None:
    def deployment(name: str) -> dict[str, Any]:
        failure = {"type": "ReplicaFailure", "status": "True", "message": "pods is forbidden: exceeded quota: small"}
        return {"kind": "Deployment", "metadata": {"name": name}, "status": {"conditions": [failure]}}

    objects = [deployment("leadtime-toy"), deployment("leadtime-toy-2")]
    assert rollout.without_a_place("leadtime-toy", objects) == ["pods is forbidden: exceeded quota: small"]

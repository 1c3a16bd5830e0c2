"""Devices that models ask for and no node has."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.kubernetes import chart, devices

GPU = "nvidia.com/gpu"


def node(gpus: str = "") -> dict[str, Any]:
    return {"status": {"allocatable": {"cpu": "4"} | ({GPU: gpus} if gpus else {})}}


def said(asked: int, *nodes: dict[str, Any]) -> list[str]:
    model = {"name": "whisper", "resources": {"limits": {GPU: asked}}}
    manifests = chart.render({"models": [model, {"name": "toy"}]})
    return list(devices.missing(manifests, nodes))


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
    (sentence,) = said(asked, *nodes)
    assert sentence.startswith(f"warning: a pod of leadtime-whisper asks for {asked} {GPU}, but {has}: ")


def test_a_device_that_a_node_has_is_not_worth_a_word() -> None:
    assert said(1, node(), node("1")) == []

"""The index of a model's process, and the device that it gets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.workers.model_host.tools import ONE_LOOP, do, eventually, make, running
from workers.model_host.errors import ModelCrashed
from workers.model_host.process.variables import devices_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workers.model_host.tools import Run
    from workers.model_host.host import ModelHost

NAMED = "tests.workers.model_host.models:Named"


async def names(host: ModelHost, count: int) -> list[tuple[str, str | None]]:
    """Index and device of so many processes, which are all busy at the same time."""
    await eventually(lambda: host.count == count)
    found: list[dict[str, Any]] = await asyncio.gather(*(do(host, "names") for _ in range(count)))
    return sorted((one["MODEL_PROCESS_INDEX"], one["CUDA_VISIBLE_DEVICES"]) for one in found)


@ONE_LOOP
@pytest.mark.usefixtures("is_forked")
def test_each_process_has_its_index_and_its_device(run: Run) -> None:
    async def scenario() -> None:
        async with running(make(NAMED, 3, devices=("4", "7"))) as host:
            wanted = [("0", "4"), ("1", "7"), ("2", "4")]
            assert await names(host, 3) == wanted

            for _ in range(2):
                with pytest.raises(ModelCrashed):
                    await do(host, "leave_at_once", 3)

            assert await names(host, 3) == wanted

    run(scenario())


@ONE_LOOP
def test_a_constructor_sees_them_and_without_devices_nothing_is_touched(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")

    async def scenario() -> None:
        async with running(make(NAMED)) as host:
            loaded_with = await do(host, "loaded")
        assert loaded_with == {"MODEL_PROCESS_INDEX": "0", "CUDA_VISIBLE_DEVICES": "5"}

    run(scenario())


@pytest.mark.parametrize(
    ("setting", "visible", "devices"),
    [
        ("", "0,1", ()),
        ("3", "0,1", ("3",)),
        ("0,GPU-8932f937", None, ("0", "GPU-8932f937")),
        ("auto", "2, 3", ("2", "3")),
        ("auto", "2", ()),
        ("auto", "", ()),
        ("auto", None, ("0", "1", "10")),
    ],
)
def test_devices(tmp_path: Path, setting: str, visible: str | None, devices: tuple[str, ...]) -> None:
    for name in ("nvidia10", "nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert devices_of(setting, environment, tmp_path) == devices

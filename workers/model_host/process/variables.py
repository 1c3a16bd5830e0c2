"""What a model's process finds in its environment: its index, and the device that it is to use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INDEX = "MODEL_PROCESS_INDEX"
DEVICES = "CUDA_VISIBLE_DEVICES"
AUTO = "auto"

_DEVICE_FILE = re.compile(r"nvidia(\d+)")


def variables_of(index: int, devices: Sequence[str]) -> dict[str, str]:
    """The variables of the process with this index. Of n devices it gets the one with the number index modulo n."""
    return {INDEX: str(index)} | ({DEVICES: devices[index % len(devices)]} if devices else {})


def devices_of(setting: str, environment: Mapping[str, str], folder: Path = Path("/dev")) -> tuple[str, ...]:
    """The devices that `MODEL_DEVICES` names. Of `auto` none if there are fewer than two: nothing is to be split."""
    if setting != AUTO:
        return tuple(filter(None, setting.split(",")))
    if (visible := environment.get(DEVICES)) is not None:
        found = [device.strip() for device in visible.split(",") if device.strip()]
    else:
        numbers = [int(match[1]) for path in folder.iterdir() if (match := _DEVICE_FILE.fullmatch(path.name))]
        found = list(map(str, sorted(numbers)))
    return tuple(found) if len(found) > 1 else ()

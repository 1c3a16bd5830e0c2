"""What a model's process finds in its environment: its index, and the device that it is to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

INDEX = "MODEL_PROCESS_INDEX"
DEVICES = "CUDA_VISIBLE_DEVICES"


def variables_of(index: int, devices: Sequence[str]) -> dict[str, str]:
    """The variables of the process with this index. Of n devices it gets the one with the number index modulo n."""
    return {INDEX: str(index)} | ({DEVICES: devices[index % len(devices)]} if devices else {})

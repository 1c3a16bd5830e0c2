"""The internal queue of deliveries, and what holds for them. It imports nothing that only a delivery needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from workers.settings import StreamSettings, WorkerSettings
from workers.stream import WEBHOOKS_PART, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.outbound.addresses import AddressRules


@dataclass(frozen=True, slots=True)
class DeliveryTerms:
    """What holds for all deliveries of a service. `secrets_of` an owner are what signs, the one to use first.

    `root_path` is what the URLs of files begin with.
    """

    secrets_of: Callable[[str], Sequence[str]]
    rules: AddressRules
    timeout_s: float = 15.0
    give_up_s: float = 86_400.0
    root_path: str = ""


class DeliverySettings(WorkerSettings):
    """Of the internal queue: where the stream is comes from the gateway, the rest is as it is by default."""

    part: ClassVar[str] = WEBHOOKS_PART


def delivery_settings(settings: StreamSettings) -> DeliverySettings:
    """The settings of the internal queue of a queue."""
    fields = {name: field.default for name, field in WorkerSettings.model_fields.items()}
    fields |= {name: getattr(settings, name) for name in StreamSettings.model_fields}
    return DeliverySettings.model_validate(fields)


def deliveries(settings: StreamSettings) -> Stream:
    """The internal queue, to look at: its dead letters are the deliveries that failed."""
    return Stream(delivery_settings(settings))

"""What is killed when. Seeded: the same numbers make the same schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import random

Kind: TypeAlias = Literal["worker", "server", "gateway"]
KINDS: tuple[Kind, ...] = ("worker", "server", "gateway")


class Planned(NamedTuple):
    """A kill, in seconds since the load's begin."""

    at_s: float
    kind: Kind


def schedule(duration_s: float, every_s: float, servers: int, gateways: int, rng: random.Random) -> list[Planned]:
    """A worker about every `every_s` seconds; the server and the gateway so many times, spread evenly. In order."""
    planned = []
    at_s = every_s * rng.uniform(0.5, 1.5)
    while at_s < duration_s:
        planned.append(Planned(at_s, "worker"))
        at_s += every_s * rng.uniform(0.5, 1.5)
    planned += [Planned(duration_s * (i + 0.5) / servers, "server") for i in range(servers)]
    planned += [Planned(duration_s * (i + 0.5) / gateways, "gateway") for i in range(gateways)]
    return sorted(planned)

"""What can be compared: rules with what carries them out, by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench.simulation.actuation import Direct, Keda
from bench.simulation.hpa import Behavior, Policy, Rules
from bench.simulation.ours import StartupAware
from bench.simulation.rules import Count, DelayedOff, Fixed, Formula, Knative, LazyCapacity

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from bench.simulation.actuation import Actuation
    from bench.simulation.rule import Brief, Rule

CLAIRVOYANT = "clairvoyant"
PLAIN = "clairvoyant-plain"
PLANS = (CLAIRVOYANT, PLAIN)
TOLD = "leadtime-told"
_MOST_FIXED = 100_000
# At most one pod a minute, and only what was right for five of them.
SLOW = Rules((Policy("Pods", 1, 60),), 300.0)
# deploy/base/scaling.yaml
STREAMS = Behavior(
    up=Rules((Policy("Pods", 10, 15),), 0.0),
    down=Rules((Policy("Percent", 100, 15),), 60.0),
)
# deploy/scaler: the HPA carries the decision out, at once.
CARRIED_OUT = Behavior(
    up=Rules((Policy("Pods", 1_000, 15), Policy("Percent", 1_000, 15)), 0.0),
    down=Rules((Policy("Percent", 100, 15),), 0.0),
)
_TICK_S = 15.0


@dataclass(frozen=True, slots=True)
class Contender:
    """A rule for one run, and what carries it out, whose phases are drawn for the run."""

    what: str
    rule: Callable[[Brief], Rule]
    actuation: Callable[[np.random.Generator], Actuation]


def through_keda(
    *,
    target: float = 1.0,
    polling_s: float = 30.0,
    cooldown_s: float = 300.0,
    behavior: Behavior | None = None,
    push: bool = False,
    decide_s: float | None = None,
) -> Callable[[np.random.Generator], Actuation]:
    """KEDA and its HPA; nobody knows at which moment of their rounds a load begins."""

    def drawn(generator: np.random.Generator) -> Actuation:
        return Keda(
            target=target,
            polling_s=polling_s,
            cooldown_s=cooldown_s,
            behavior=behavior,
            push=push,
            decide_s=decide_s,
            keda_phase_s=polling_s * generator.random(),
            hpa_phase_s=15.0 * generator.random(),
        )

    return drawn


def direct(interval_s: float = 1.0) -> Callable[[np.random.Generator], Actuation]:
    """At once, every `interval_s`."""
    return lambda generator: Direct(interval_s, interval_s * generator.random())


def find(name: str) -> Contender:
    """By its name, which may be `fixed-N`, too. Raises ValueError."""
    kind, _, number = name.rpartition("-")
    if kind == "fixed" and number.isdecimal() and int(number) <= _MOST_FIXED:
        return Contender(f"always {number} pods", lambda _: Fixed(int(number)), direct())
    if name == TOLD:
        told = partial(StartupAware, told=True)
        return Contender("the start-up-aware policy, told the load's true rate", told, direct())
    if name not in CONTENDERS:
        raise ValueError(f"there is no rule {name!r}: it is one of {', '.join(CONTENDERS)}, {TOLD}, fixed-N")
    return CONTENDERS[name]


def _lag(_: Brief) -> Rule:
    return Count(waiting=True, running=False)


def _pending(_: Brief) -> Rule:
    return Count(waiting=False, running=True)


def _lag_pending(_: Brief) -> Rule:
    return Count(waiting=True, running=True)


CONTENDERS: dict[str, Contender] = {
    "leadtime": Contender("the start-up-aware policy, direct", StartupAware, direct()),
    "leadtime-keda": Contender(
        "the same through KEDA's external-push and the HPA",
        lambda brief: StartupAware(brief, _TICK_S),
        through_keda(polling_s=5.0, cooldown_s=1.0, behavior=CARRIED_OUT, push=True, decide_s=1.0),
    ),
    "list-5": Contender(
        "the old project's: list length, target 5, KEDA's and the HPA's defaults", _lag, through_keda(target=5)
    ),
    "list-5-keep": Contender(
        "the same, scale-down stabilized 300 s and 1 pod/60 s",
        _lag,
        through_keda(target=5, behavior=Behavior(down=SLOW)),
    ),
    "list-5-slow": Contender(
        "the same, and scale-up too", _lag, through_keda(target=5, behavior=Behavior(up=SLOW, down=SLOW))
    ),
    "pending": Contender("jobs that run, target 1, defaults: it never leaves 0", _pending, through_keda()),
    "lag": Contender("jobs that wait, target 1, defaults", _lag, through_keda()),
    "lag-pending": Contender("both, target 1, defaults", _lag_pending, through_keda()),
    "lag-pending-keep": Contender(
        "the same, scale-down stabilized 300 s and 1 pod/60 s",
        _lag_pending,
        through_keda(behavior=Behavior(down=SLOW)),
    ),
    "lag-pending-slow": Contender(
        "the same, and scale-up too", _lag_pending, through_keda(behavior=Behavior(up=SLOW, down=SLOW))
    ),
    "streams": Contender(
        "both, target 1, as in deploy/base/scaling.yaml",
        _lag_pending,
        through_keda(polling_s=2.0, cooldown_s=120.0, behavior=STREAMS),
    ),
    "formula": Contender("ceil(1.1 rate x service + 1.1 queue x service / 10), direct", lambda _: Formula(), direct()),
    "delayed-off": Contender("DELAYEDOFF (Gandhi, Harchol-Balter), direct", lambda _: DelayedOff(), direct()),
    "lazy-capacity": Contender("Lazy Capacity Provisioning (Lin et al.), direct", lambda _: LazyCapacity(), direct()),
    "knative": Contender("as Knative's autoscaler, every 2 s", lambda _: Knative(), direct(2.0)),
}

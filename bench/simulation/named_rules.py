"""What can be compared, by name: rules, each with what carries its decisions out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from bench.simulation.actuation import DirectActuation, KedaActuation
from bench.simulation.hpa import SYNC_S, Behavior, ScalingPolicy, ScalingRules
from bench.simulation.rules import DelayedOff, Fixed, JobCount, Knative, StartupAware

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from bench.simulation.cluster import Actuation
    from bench.simulation.rules import Brief, Rule

CLAIRVOYANT = "clairvoyant"
TOLD = "leadtime-told"
_MOST_FIXED = 100_000
# deploy/chart/values.yaml: modelDefaults.streams
STREAMS = Behavior(
    up=ScalingRules((ScalingPolicy("Pods", 10, 15),), 0.0),
    down=ScalingRules((ScalingPolicy("Percent", 100, 15),), 60.0),
)
# deploy/chart/templates/models/keda-scaler.yaml: the HPA carries the decision out, at once.
CARRIED_OUT = Behavior(
    up=ScalingRules((ScalingPolicy("Pods", 1_000, 15), ScalingPolicy("Percent", 1_000, 15)), 0.0),
    down=ScalingRules((ScalingPolicy("Percent", 100, 15),), 0.0),
)
# deploy/values/experiments: at most one pod a minute, and only what was right for five of them.
SLOW = ScalingRules((ScalingPolicy("Pods", 1, 60),), 300.0)


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule for one run, and what carries it out: KEDA, or nothing in between, every `interval_s`."""

    what: str
    rule: Callable[[Brief], Rule]
    keda: KedaActuation | None = None
    interval_s: float = 1.0

    def actuation(self, generator: np.random.Generator) -> Actuation:
        """With phases that are drawn: nobody knows at which moment of their rounds a load begins."""
        if self.keda is None:
            return DirectActuation(self.interval_s, self.interval_s * generator.random())
        keda_phase_s, hpa_phase_s = self.keda.polling_s * generator.random(), SYNC_S * generator.random()
        return replace(self.keda, keda_phase_s=keda_phase_s, hpa_phase_s=hpa_phase_s)


def find(name: str) -> NamedRule:
    """By its name, which may be `fixed-N`, too. Raises ValueError."""
    kind, _, number = name.rpartition("-")
    if kind == "fixed" and number.isdecimal() and int(number) <= _MOST_FIXED:
        return NamedRule(f"always {number} pods", lambda _: Fixed(int(number)))
    if name == TOLD:
        return NamedRule("the start-up-aware policy, told the load's true rate", partial(StartupAware, told=True))
    if name not in NAMED_RULES:
        raise ValueError(f"there is no rule {name!r}: it is one of {', '.join(NAMED_RULES)}, {TOLD}, fixed-N")
    return NAMED_RULES[name]


def _outstanding(what: str, keda: KedaActuation) -> NamedRule:
    return NamedRule(f"jobs that wait or run, target 1, {what}", lambda _: JobCount(running=True), keda)


NAMED_RULES: dict[str, NamedRule] = {
    "leadtime": NamedRule("the start-up-aware policy, direct", StartupAware),
    "leadtime-keda": NamedRule(
        "the same through KEDA's external-push and the HPA",
        lambda brief: StartupAware(brief, SYNC_S / 2),
        KedaActuation(polling_s=5.0, cooldown_s=1.0, behavior=CARRIED_OUT, push=True),
    ),
    "streams": _outstanding(
        "as in deploy/chart/values.yaml", KedaActuation(polling_s=2.0, cooldown_s=120.0, behavior=STREAMS)
    ),
    "lag-pending": _outstanding("KEDA's and the HPA's defaults", KedaActuation()),
    "lag-pending-keep": _outstanding(
        "scale-down stabilized 300 s and 1 pod/60 s", KedaActuation(behavior=Behavior(down=SLOW))
    ),
    "lag-pending-slow": _outstanding("scale-up like that, too", KedaActuation(behavior=Behavior(up=SLOW, down=SLOW))),
    "list-5": NamedRule(
        "length of a list, target 5, KEDA's and the HPA's defaults",
        lambda _: JobCount(running=False),
        KedaActuation(target=5),
    ),
    "delayed-off": NamedRule("DELAYEDOFF (Gandhi, Harchol-Balter), direct", DelayedOff),
    "knative": NamedRule("as Knative's autoscaler, every 2 s", Knative, interval_s=2.0),
}

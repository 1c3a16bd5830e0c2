"""One cell: its configuration onto the cluster, its load through the Service, its run."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.common.arrivals import Arrival
from bench.experiments.configurations import surplus, with_model_times
from bench.load.generator import Generator
from bench.load.observer import QueueSource, cluster
from bench.load.plan import LoadPlan
from bench.load.progress import watched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.common.runs import Run
    from bench.experiments.configurations import Configuration
    from bench.experiments.kubectl import Kubectl
    from bench.experiments.matrix import MatrixCell
    from bench.experiments.stage import Stage
    from bench.load.observer import PodSource

# After the load's end. The slowest configuration has its last jobs done long before.
_TIMEOUT_S = 900.0


class StartUps:
    """A source that looks at a cluster's pods, and notes how long each took from its creation until it was ready.

    `took_s` is by the pods' ids, to the second. A pod that is gone before the next look is not seen.
    """

    def __init__(self, pods: PodSource) -> None:
        self._pods = pods
        self.took_s: dict[str, float] = {}

    async def look(self) -> Mapping[str, float]:
        """What the cluster shows."""
        seen = await self._pods.look()
        for pod in self._pods.pods:
            for condition in pod.status.conditions or []:
                if condition.type == "Ready" and condition.status == "True":
                    took = condition.last_transition_time - pod.metadata.creation_timestamp
                    # A pod that was ready before is not ready for the first time.
                    self.took_s.setdefault(pod.metadata.uid, took.total_seconds())
        return seen


@dataclass(frozen=True, slots=True)
class CellRunner:
    """Makes runs on one cluster. Raises ClusterError, ObserverError; LoadError if a load is none."""

    kubectl: Kubectl
    stage: Stage
    url: str
    configurations: Sequence[Configuration]  # all that may have been on the cluster before
    api_key: str | None = None

    async def run(self, cell: MatrixCell) -> Run:
        """The run of one cell."""
        (configuration,) = (one for one in self.configurations if one.name == cell.configuration)
        setup = cell.setup
        generator, scale = Generator(plan(cell, self.url, self.api_key)), setup.time_scale
        hurry(generator, scale)
        manifests = with_model_times(configuration.manifests, setup.startup_s / scale, setup.service_s / scale)
        await self.stage.prepare(manifests, surplus(configuration, self.configurations))
        versions = await self.stage.versions()
        async with (
            QueueSource(self.url, self.api_key) as queue,
            cluster(self.kubectl.namespace, self.kubectl.context) as pods,
        ):
            startups = StartUps(pods)
            generator.sources += [queue, startups]
            async with watched(generator, signals=False):
                run = await generator.run()
        run.versions |= versions
        took_s = run.parameters["startups_s"] = list(startups.took_s.values())
        run.notes += [
            f"{len(took_s)} workers became ready, {statistics.median(took_s):g} s after their pods' creation (median; "
            f"{max(took_s):g} s at most): {setup.startup_s / scale:g} s of that is the model's."
            if took_s
            else "No worker was seen to become ready.",
            *(
                [f"All times are {scale:g} times as short as those of the load's name and of `bench predict`."]
                if scale != 1
                else []
            ),
            "Pods count until the last job's end: what a configuration keeps them for after that is not in its "
            "pod-seconds.",
        ]
        return run


def hurry(generator: Generator, scale: float) -> None:
    """Makes the load `scale` times as fast: the same jobs in a part of the time."""
    arrivals = ((one.at_s, one.service_s) for one in generator.arrivals)
    generator.arrivals = [
        Arrival(at_s / scale, None if service_s is None else service_s / scale) for at_s, service_s in arrivals
    ]
    generator.duration_s /= scale


def plan(cell: MatrixCell, url: str, api_key: str | None = None) -> LoadPlan:
    """The load of a cell."""
    return LoadPlan(
        load=cell.load,
        url=url,
        duration_s=cell.setup.duration_s,
        process=cell.setup.process,
        seed=cell.setup.seed,
        name=cell.title,
        poll_s=cell.setup.poll_s,
        timeout_s=_TIMEOUT_S,
        persist=True,
        kubernetes="leadtime",
        api_key=api_key,
    )

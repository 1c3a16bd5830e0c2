"""One cell: its configuration onto the cluster, its load through the Service, its run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.common.arrivals import Arrival
from bench.experiments.configurations import surplus
from bench.experiments.starts import Starts, sentence
from bench.experiments.timescale import divided, model_times, scaler_times
from bench.load.generator import Generator
from bench.load.observer import QueueSource, cluster
from bench.load.plan import LoadPlan
from bench.load.progress import watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.common.runs import Run
    from bench.experiments.configurations import Configuration, Manifest
    from bench.experiments.kubectl import Kubectl
    from bench.experiments.matrix import Cell, Setup
    from bench.experiments.stage import Stage

# After the load's end, at a scale of 1: the slowest configuration has its last jobs done long before.
_TIMEOUT_S = 900.0
_LEAST_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Runner:
    """Makes runs on one cluster. Raises ClusterError, ObserverError; LoadError where a load is none."""

    kubectl: Kubectl
    stage: Stage
    url: str
    configurations: Sequence[Configuration]  # all that may have been on the cluster before
    api_key: str | None = None

    async def run(self, cell: Cell) -> Run:
        """One cell."""
        (configuration,) = (one for one in self.configurations if one.name == cell.configuration)
        manifests, remarks = rendered(configuration, cell.setup)
        generator = make_generator(cell, self.url, self.api_key)
        await self.stage.prepare(manifests, surplus(configuration, self.configurations))
        versions = await self.stage.versions()
        async with QueueSource(self.url) as gateway, cluster(self.kubectl.namespace, self.kubectl.context) as pods:
            starts = Starts(pods)
            generator.sources += [gateway, starts]
            async with watched(generator, signals=False):
                run = await generator.run()
        run.versions |= versions
        run.parameters["startups_s"] = starts.took_s
        run.notes += [sentence(starts.took_s, cell.setup.startup_s / cell.setup.time_scale)]
        run.notes += notes(cell.setup, remarks)
        return run


def rendered(configuration: Configuration, setup: Setup) -> tuple[list[Manifest], list[str]]:
    """The configuration's manifests with the setup's model and time scale, and what could not be divided."""
    manifests = model_times(configuration.manifests, setup.startup_s, setup.service_s)
    return divided(scaler_times(manifests, setup.hpa_sync_s), setup.time_scale)


def make_generator(cell: Cell, url: str, api_key: str | None = None) -> Generator:
    """The load at the time scale: the arrivals are those of a scale of 1, closer together."""
    setup = cell.setup
    scale = setup.time_scale
    generator = Generator(
        LoadPlan(
            load=cell.load,
            url=url,
            duration_s=setup.duration_s,
            process=setup.process,
            seed=setup.seed,
            name=cell.title,
            poll_s=None if setup.poll_s is None else setup.poll_s / scale,
            timeout_s=max(_LEAST_TIMEOUT_S, _TIMEOUT_S / scale),
            persist=True,
            kubernetes="leadtime",
            api_key=api_key,
        )
    )
    generator.arrivals = [
        Arrival(one.at_s / scale, None if one.service_s is None else one.service_s / scale)
        for one in generator.arrivals
    ]
    generator.duration_s /= scale
    return generator


def notes(setup: Setup, remarks: Sequence[str]) -> list[str]:
    """What a reader of the run has to know."""
    scale = setup.time_scale
    found = [
        "Pods count until the last job's end: what a configuration keeps them for after that is not in its pod-seconds."
    ]
    if scale == 1:
        return found
    tick = f"the HPA's tick is {setup.hpa_sync_s:g} s (by --hpa-sync)"
    if setup.hpa_sync_s * scale != 15:
        tick += f" in place of {15 / scale:.3g} s"
    return [
        f"Time scale {scale:g}: arrivals, model and control loops are {scale:g} times as fast, and so all times here "
        f"are {scale:g} times as short as at a scale of 1. Not divided: what a container takes to start, probes' "
        f"periods, leases and grace, the rounds of a scaler of ours (1 s); {tick}.",
        *(f"Not divided as it should be: {remark}." for remark in remarks),
        *found,
    ]

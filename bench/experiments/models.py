"""The models of a release on a cluster, each under a load of its own, from no pod to none again.

The scaler begins without a past, as the simulator does. Pods are seen once a second, until all are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import yaml

from bench.common.runs import Samples
from bench.experiments.cell import StartUps
from bench.experiments.kubectl import GATEWAY_DEPLOYMENT, SCALER_DEPLOYMENT
from bench.experiments.stage import SCALERS, forget
from bench.load.account import RunClock
from bench.load.generator import Generator
from bench.load.observer import WORKERS, LoadObserver, cluster
from bench.load.plan import LoadPlan
from workers.scaler.models.models_file import ModelsFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.common.arrivals import Process
    from bench.common.runs import Run
    from bench.experiments.kubectl import Kubectl
    from workers.scaler.models.models_file import ModelEntry

MODELS_CONFIG = "leadtime-models"
# After the load's end: until the last job has ended, and until the last pod is gone.
_JOBS_S, _PODS_S = 300.0, 900.0
_LOOK_S = 1.0
_SHOW_S = 15.0


@dataclass(frozen=True, slots=True)
class MeasuredModel:
    """What came of a model: its run, with the pods until the last job of all models has ended.

    `gone_s` is how long after that its last pod was gone; None if one was there to the end.
    """

    entry: ModelEntry
    run: Run
    startups_s: list[float]
    gone_s: float | None


@dataclass(frozen=True, slots=True)
class ModelsPlan:
    """Loads by queue, and how they arrive."""

    loads: Mapping[str, str]
    duration_s: float
    process: Process
    seed: int
    url: str
    api_key: str | None = None

    def of(self, entry: ModelEntry, number: int) -> LoadPlan:
        """The load of one model; its seed is that of the simulation."""
        return LoadPlan(
            load=self.loads[entry.queue],
            url=self.url,
            duration_s=self.duration_s,
            process=self.process,
            seed=self.seed + number,
            name=entry.queue,
            queue=entry.queue,
            timeout_s=_JOBS_S,
            persist=True,
            api_key=self.api_key,
        )


async def deployed(kubectl: Kubectl) -> ModelsFile:
    """The models that the scaler reads. Raises ClusterError if it reads no file: it has one model then."""
    config = await kubectl.json("configmap", MODELS_CONFIG)
    return ModelsFile.model_validate(yaml.safe_load(config["data"]["models.yaml"]))


async def prepare(kubectl: Kubectl, file: ModelsFile) -> None:
    """Returns when there is no worker, and a scaler that has learnt nothing. Raises ClusterError."""
    replicas = (await kubectl.json("deployment", SCALER_DEPLOYMENT))["spec"]["replicas"]
    await kubectl.run("scale", "deployment", SCALER_DEPLOYMENT, "--replicas=0")
    await kubectl.run("wait", "--for=delete", "pod", f"--selector={SCALERS}", "--timeout=120s")
    await kubectl.run("delete", "lease", SCALER_DEPLOYMENT, "--ignore-not-found", "--wait", "--timeout=120s")
    for entry in file.models:
        await kubectl.run("scale", "deployment", entry.deployment, "--replicas=0")
        await kubectl.run("exec", f"deployment/{GATEWAY_DEPLOYMENT}", "--", "python", "-c", forget(entry.queue))
    await kubectl.run("wait", "--for=delete", "pod", f"--selector={WORKERS}", "--timeout=120s")
    await kubectl.run("scale", "deployment", SCALER_DEPLOYMENT, f"--replicas={replicas}")
    await kubectl.run("rollout", "status", f"deployment/{SCALER_DEPLOYMENT}", "--timeout=120s")


async def run_models(
    kubectl: Kubectl, file: ModelsFile, plan: ModelsPlan, say: Callable[[str], None]
) -> list[MeasuredModel]:
    """Sends all loads at once, and watches until no pod is left. Raises LoadError, ObserverError, ClusterError."""
    generators = [Generator(plan.of(entry, i)) for i, entry in enumerate(file.models)]
    clock = RunClock()
    async with contextlib.AsyncExitStack() as stack:
        watches = []
        for entry in file.models:
            # The chart names a Deployment RELEASE-MODEL; a release `leadtime` is what `deploy` makes.
            selector = f"{WORKERS},leadtime/model={entry.deployment.removeprefix(f'{kubectl.namespace}-')}"
            pods = StartUps(await stack.enter_async_context(cluster(kubectl.namespace, kubectl.context, selector)))
            watches.append((pods, LoadObserver([pods], clock)))
        clock.restart()
        looks = [observer.run() for _, observer in watches]
        for look in (*looks, _show(generators, [observer for _, observer in watches], say)):
            stack.callback(asyncio.create_task(look).cancel)
        runs = await asyncio.gather(*(generator.run() for generator in generators))
        end_s = max([plan.duration_s, *(at_s for run in runs for at_s in run.jobs.ended_s if at_s is not None)])
        say("all jobs have ended; now the pods go")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PODS_S):
                while any(pods_at_last(observer.samples) != 0 for _, observer in watches):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)
    return [
        _measured(entry, run, pods.took_s, observer.samples, end_s)
        for entry, run, (pods, observer) in zip(file.models, runs, watches, strict=True)
    ]


async def _show(generators: Sequence[Generator], observers: Sequence[LoadObserver], say: Callable[[str], None]) -> None:
    """Says how far it is, again and again until it is cancelled."""
    while True:
        await asyncio.sleep(_SHOW_S)
        said = []
        for generator, observer in zip(generators, observers, strict=True):
            pods = sum(observer.latest.get(state, 0) for state in ("starting", "ready", "stopping"))
            said.append(f"{generator.plan.name} {generator.account.in_flight} jobs in flight, {pods} pods")
        say(f"{generators[0].clock():.0f} s: {'; '.join(said)}")


def pods_at_last(samples: Samples) -> int | None:
    """How many pods the last sample has; None if there is none, or if nothing could be seen."""
    return _pods(samples, -1) if samples.t_s else None


def _pods(samples: Samples, at: int) -> int | None:
    seen = [column[at] for column in (samples.starting, samples.ready, samples.stopping)]
    return None if None in seen else sum(count or 0 for count in seen)


def _measured(
    entry: ModelEntry, run: Run, took_s: Mapping[str, float], samples: Samples, end_s: float
) -> MeasuredModel:
    run.samples = until(samples, end_s)
    last = max((i for i in range(len(samples.t_s)) if _pods(samples, i)), default=-1)
    is_gone = pods_at_last(samples) == 0
    gone_s = max(0.0, samples.t_s[last + 1] - end_s) if is_gone and last + 1 < len(samples.t_s) else None
    return MeasuredModel(entry, run, list(took_s.values()), gone_s)


def until(samples: Samples, end_s: float) -> Samples:
    """Those up to a time."""
    kept = sum(at_s <= end_s for at_s in samples.t_s)
    return Samples(**{field.name: getattr(samples, field.name)[:kept] for field in fields(Samples)})

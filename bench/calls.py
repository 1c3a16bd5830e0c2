"""`python -m bench calls`: what a job costs the server, in function calls and in CPU (INFO commandstats and cpu).

In chunks: no-op jobs are pushed 500 at a time, and claimed and finished 16 at a time, each call awaited.
One at a time: the same with one job a call.
A push that waits: one client of a gateway and one worker, whose model does nothing; the CPU is all of the server's.

`--against CHECKOUT` measures another checkout of this project in turns with this one. Only such ratios say what a
change costs: the same code varies by 1.7 from minute to minute.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import orjson

from bench.common import placement, server
from bench.common.arguments import whole
from bench.common.checkout import other_checkout
from bench.common.processes import ROOT, BenchError, MeasuredProcess
from bench.peers.measure import PATIENCE_S, until_answered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.common.server import BenchServer

Costs: TypeAlias = dict[str, tuple[float, float]]  # calls a job and microseconds of CPU a job, by what is measured
_PUSHED = 500
_CHUNK = 16
_PATH = "/push?input=x&wait=60"


class Meter:
    """Counts on a server from one `cost` to the next."""

    def __init__(self, running: BenchServer) -> None:
        self._client = running.client
        self._used_s = 0.0
        self.cost(1)

    def cost(self, jobs: int) -> tuple[float, float]:
        """Function calls and microseconds of CPU since the last time, for each of so many jobs."""
        cpu: Mapping[str, float] = self._client.info("cpu")
        used_s = cpu["used_cpu_user"] + cpu["used_cpu_sys"]
        calls = self._client.info("commandstats").get("cmdstat_fcall", {"calls": 0})["calls"]
        self._client.config_resetstat()
        before, self._used_s = self._used_s, used_s
        return calls / jobs, 1e6 * (used_s - before) / jobs


def lives(running: BenchServer, folder: Path, jobs: int, pushed: int, chunk: int, title: str) -> Costs:
    """What push, claim and finish cost of so many jobs, by the code in the folder."""
    running.flush()
    told = [running.url, str(jobs), str(pushed), str(chunk)]
    costs: Costs = {}
    with MeasuredProcess([sys.executable, "-m", "bench.job_life", *told], {}, placement.MEASURED, folder) as client:
        client.message(PATIENCE_S)
        meter = Meter(running)
        for _ in range(3):
            client.go_on()
            what = client.message(PATIENCE_S + jobs / 100)["done"]
            costs[f"{what}, {title}"] = meter.cost(jobs)
    costs[f"all three, {title}"] = (sum(one[0] for one in costs.values()), sum(one[1] for one in costs.values()))
    return costs


def waiting_pushes(running: BenchServer, folder: Path, count: int) -> Costs:
    """What a push costs that waits for its result."""
    running.flush()
    port = server.free_port()
    told = {"HOST": "127.0.0.1", "PORT": str(port), "REDIS_URL": running.url, "LOG_LEVEL": "ERROR"}
    told |= {"MODEL_SETUP_S": "0", "MODEL_PREDICT_S": "0"}
    with contextlib.ExitStack() as stack:
        gateway, _ = [
            stack.enter_context(MeasuredProcess([sys.executable, "-m", name], told, placement.CORES, folder))
            for name in ("gateway", "workers")
        ]
        until_answered(gateway, port, _PATH, None)
        client = stack.enter_context(contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, PATIENCE_S)))
        meter = Meter(running)
        for _ in range(count):
            client.request("POST", _PATH)
            answer = client.getresponse()
            if answer.status != 200 or orjson.loads(answer.read())["status"] != "finished":
                raise BenchError(f"a push was answered with {answer.status}")
        return {"a push that waits": meter.cost(count)}


def measured(running: BenchServer, folder: Path, jobs: int) -> Costs:
    """All of it, by the code in the folder. Raises BenchError."""
    few = max(1, jobs // 20)
    return {
        **lives(running, folder, jobs, _PUSHED, _CHUNK, "in chunks"),
        **lives(running, folder, few, 1, 1, "one at a time"),
        **waiting_pushes(running, folder, few),
    }


def table(found: Mapping[str, Sequence[Costs]]) -> str:
    """A row for each cost: medians of each checkout, and the ratio of the first one's CPU to the other's."""
    heads = [cell for name in found for cell in (f"calls, {name}", f"us, {name}")]
    lines = [["of each job", *heads, *(["ratio"] if len(found) > 1 else [])]]
    for what in next(iter(found.values()))[0]:
        rounds = [[one[what] for one in costs] for costs in found.values()]
        lines.append([what])
        for costs in rounds:
            calls, us = (statistics.median(column) for column in zip(*costs, strict=True))
            lines[-1] += [f"{calls:.2f}", f"{us:.1f}"]
        if len(rounds) > 1:
            ratios = [ours[1] / theirs[1] for ours, theirs in zip(*rounds, strict=True)]
            lines[-1].append(f"{statistics.median(ratios):.2f}")
    return "\n".join(f"{line[0]:26}" + "".join(f"{cell:>22}" for cell in line[1:]) for line in lines)


def main() -> None:
    """Reads the command line, measures, prints the table. Ends with 1 if something failed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench calls", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=whole(1), default=20_000, help="in chunks; else a twentieth (default: 20000)")
    parser.add_argument("--rounds", type=whole(1), default=3, help="(default: %(default)s)")
    parser.add_argument("--server", default="valkey", help="valkey (embedded, the default), or a program")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="measures that one, too")
    told = parser.parse_args()
    found: dict[str, list[Costs]] = defaultdict(list)
    try:
        with contextlib.ExitStack() as stack:
            folders = {"this one": ROOT}
            if told.against:
                folders["the other"] = stack.enter_context(other_checkout(told.against))
            running = stack.enter_context(server.running(told.server))
            for _ in range(told.rounds):
                for name, folder in folders.items():
                    found[name].append(measured(running, folder, told.jobs))
            print(f"{table(found)}\n\n{running.version}, {told.rounds} rounds, on {placement.machine()}")
    except (BenchError, OSError) as error:
        sys.exit(f"bench calls: {error}")

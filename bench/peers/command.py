"""`python -m bench peers`: this project beside other libraries, or beside another checkout of it.

    jobs       no-op jobs/s of one worker process, beside arq, SAQ, taskiq, streaQ and Celery
    pushes     pushes/s of one gateway process, of a text and of an object with and without a schema that it is checked
               by, beside FastAPI + Celery, and an endpoint that does nothing
    latency    time from enqueue to start on an idle worker
    memory     what the server holds of each waiting job, and what an idle worker takes
    serving    requests/s and latency of push?wait with one model process, beside LitServe and BentoML: of a model that
               does nothing or takes 20 ms, and of one in numpy that takes batches

All programs run in every round, one after another, so that whatever else the machine does strikes all alike.
Exit code: 0 if all was measured, whatever the figures; 1 if something could not be, with one sentence on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench.common import server
from bench.common.arguments import whole
from bench.common.checkout import other_checkout
from bench.common.processes import BenchError
from bench.peers import venvs
from bench.peers.kinds import KINDS
from bench.peers.measure import PeersSizes
from bench.peers.report import conditions, plain, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.peers.contenders import Contender
    from bench.peers.measure import Figures

ONLY = {
    "jobs": ["jobs"],
    "pushes": ["pushes"],
    "latency": ["latency"],
    "memory": ["waiting", "resident"],
    "noop": ["noop-1", "noop-16"],
    "serving": ["noop-1", "noop-16", "20ms-1", "20ms-16", "batched"],
}
FULL = PeersSizes(jobs=50_000, push_s=4.0, trickled=60, waiting=100_000)
QUICK = PeersSizes(jobs=20_000, push_s=2.0, trickled=20, waiting=20_000)


def main() -> None:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(
        prog="python -m bench peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=whole(1), help="how often all is measured (default: 5, or 1 if quick)")
    add("--quick", action="store_true", help="one small round: a look, not a measurement")
    add(
        "--only",
        choices=ONLY,
        nargs="+",
        default=list(ONLY),
        help="kinds to measure (default: all); noop is the part of serving that does nothing",
    )
    add("--server", default="valkey", help="valkey (embedded, the default), or a program's name or path")
    add("--against", type=Path, metavar="CHECKOUT", help="instead of other libraries, another checkout of this "
        "project, with this one's packages")  # fmt: skip
    add("--log", choices=["always", "everysec", "no"], help="the server writes an append-only file, with this "
        "appendfsync; the service is shipped with always (default: it writes none)")  # fmt: skip
    add("--sync-ms", type=whole(0), default=0, help="each wait for that log's disk takes so much longer (needs cc)")
    add("--processes", type=whole(1), default=1, help="model processes of ours in `serving`; the others keep their one")
    add("--json", type=Path, metavar="FILE", help="writes the figures of all rounds, too")
    try:
        _run(parser.parse_args())
    except (BenchError, OSError) as error:
        sys.exit(f"bench: {error}")


def _run(options: argparse.Namespace) -> None:
    rounds = options.rounds or (1 if options.quick else 5)
    with contextlib.ExitStack() as stack:
        who: dict[str, Sequence[Contender]] = {
            name: KINDS[name].contenders for one in options.only for name in ONLY[one]
        }
        if options.against:
            folder = stack.enter_context(other_checkout(options.against))
            who = {name: KINDS[name].beside(folder) for name in who}
        if options.processes > 1:
            who = {name: [one.with_processes(options.processes) for one in each] for name, each in who.items()}
        libraries = dict.fromkeys(one.library for contenders in who.values() for one in contenders)
        versions = {library: venvs.versions(library) for library in libraries}
        redis = stack.enter_context(server.running(options.server, options.log or "", options.sync_ms))
        found = _measured(who, redis, QUICK if options.quick else FULL, rounds)
        log = f"log on disk, appendfsync {options.log}" if options.log else "no log"
        version = f"{redis.version}, {log}" + (f", {options.sync_ms} ms a sync more" if options.sync_ms else "")
        told = conditions(version, rounds, versions)
    print("\n\n".join([*(table(KINDS[name], found[name]) for name in who), told]))
    if options.json:
        document = {"conditions": told.splitlines(), "versions": versions, **plain(found)}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _measured(
    who: Mapping[str, Sequence[Contender]], redis: server.BenchServer, sizes: PeersSizes, rounds: int
) -> dict[str, dict[Contender, list[Figures]]]:
    """All figures, one list item a round. Each round starts with another program. Raises BenchError."""
    found: dict[str, dict[Contender, list[Figures]]] = {name: defaultdict(list) for name in who}
    for number in range(rounds):
        for name, contenders in who.items():
            first = number % len(contenders)
            for contender in (*contenders[first:], *contenders[:first]):
                figures = KINDS[name].measure(contender, redis, sizes)
                found[name][contender].append(figures)
                head, figure = next(iter(figures.items()))
                print(f"round {number + 1}: {contender.name}: {figure:,.2f} {head}", file=sys.stderr, flush=True)
    return found

"""`python -m bench COMMAND ...`: each command is a module of its own, with its own `--help`."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "load": "bench.load.command",
    "report": "bench.reports.command",
    "experiments": "bench.experiments.command",
    "models": "bench.simulation.measured.models_command",
    "faults": "bench.faults.command",
    "peers": "bench.peers.command",
    "growth": "bench.growth",
    "calls": "bench.calls",
    "batches": "bench.batches",
    "reload": "bench.reload",
    "events": "bench.events",
    "objects": "bench.objects",
    "gateway": "bench.gateway",
    "simulate": "bench.simulation.command",
    "plan": "bench.simulation.plan",
    "predict": "bench.simulation.measured.predict",
}
USAGE = f"usage: python -m bench {{{' | '.join(COMMANDS)}}} [ARGUMENT ...]"


def main() -> None:
    """Runs a command's `main`, which reads the rest of the command line.

    Ends with 2 where there is no such command, and with 130 at Ctrl-C.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("-h", "--help"):
        print(USAGE)
        return
    if name not in COMMANDS:
        sys.stderr.write(f"{USAGE}\n" + (f"bench: there is no command {name!r}\n" if name else ""))
        sys.exit(2)
    # What it says of itself, in its usage and its errors.
    sys.argv[:2] = [f"{sys.argv[0]} {name}"]
    try:
        importlib.import_module(COMMANDS[name]).main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

"""One gateway process under load, and a bare endpoint in its place."""

from __future__ import annotations

import http.client
import sys
import time
from dataclasses import dataclass

from bench import placement
from bench.processes import BenchError, Process
from bench.server import Server, free_port

GATEWAY = "gateway"
BARE = "bare endpoint"
MODULES = {GATEWAY: "gateway", BARE: "bench.bare"}
_START_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Pushes:
    """Answered pushes per second, and how busy each process was meanwhile: its share of one core, 0 to 1."""

    rate: float
    process: float
    server: float
    load: float


def pushes(name: str, server: Server, seconds: float, connections: int) -> Pushes:
    """Loads the gateway or the bare endpoint for `seconds`, behind a warm-up of a quarter of that.

    Raises BenchError too if the server holds fewer jobs behind it than the gateway has acknowledged.
    """
    server.flush()
    port = free_port()
    variables = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "REDIS_URL": server.url,
        "MAX_BACKLOG": "100000000",
        "LOG_LEVEL": "WARNING",
    }
    options = ["--port", str(port), "--connections", str(connections)]
    options += ["--seconds", f"{seconds:g}", "--warm-up", f"{seconds / 4:g}"]
    with Process([sys.executable, "-m", MODULES[name]], variables, placement.MEASURED) as process:
        _wait(process, port)
        with Process([sys.executable, "-m", "bench.load", *options], {}, placement.REST) as load:
            load.message(_START_PATIENCE_S)  # the warm-up is over
            since_s, process_cpu_s, server_cpu_s = time.perf_counter(), process.cpu_s(), server.process.cpu_s()
            measured = load.message(_START_PATIENCE_S + 2 * seconds)
            passed_s = time.perf_counter() - since_s
            used = Pushes(
                rate=measured["answers"] / measured["seconds"],
                process=(process.cpu_s() - process_cpu_s) / passed_s,
                server=(server.process.cpu_s() - server_cpu_s) / passed_s,
                load=measured["cpu_s"] / measured["seconds"],
            )
        if name == GATEWAY and (kept := server.keys()) < measured["answers"]:
            raise BenchError(f"{measured['answers']} pushes were acknowledged, but only {kept} keys are in the server")
    return used


def _wait(process: Process, port: int) -> None:
    deadline = time.monotonic() + _START_PATIENCE_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("POST", "/push?input=x")
            status = connection.getresponse().status
        except OSError:
            status = 0
        finally:
            connection.close()
        if status == 202:
            return
        if time.monotonic() > deadline or not process.running:
            raise process.error(f"it does not take pushes (last status: {status or 'no answer'})")
        time.sleep(0.05)

"""One gateway process under load, and other endpoints in its place."""

from __future__ import annotations

import http.client
import math
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import placement
from bench.processes import BenchError, Process
from bench.server import Server, free_port
from bench.venvs import python

if TYPE_CHECKING:
    from bench.contenders import Endpoint

_START_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Pushes:
    """Answered pushes per second, and how busy each process was meanwhile: its share of one core, 0 to 1."""

    rate: float
    process: float
    server: float
    load: float


def pushes(endpoint: Endpoint, server: Server, seconds: float, connections: int) -> Pushes:
    """Loads an endpoint for `seconds`, behind a warm-up of a quarter of that.

    Raises BenchError too if the server holds fewer jobs behind it than the endpoint has acknowledged.
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
    command = [python(endpoint.library), "-m", endpoint.module]
    with Process(command, {**variables, **endpoint.environment}, placement.MEASURED) as process:
        _wait(process, port)
        with Process([sys.executable, "-m", "bench.hammer", *options], {}, placement.REST) as load:
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
        if (kept := _kept(endpoint, server)) < measured["answers"]:
            raise BenchError(f"{endpoint.name}: {measured['answers']} pushes were acknowledged, but {kept} are kept")
    return used


def _kept(endpoint: Endpoint, server: Server) -> float:
    match endpoint.keeps:
        case "keys":
            return server.keys()
        case "list":
            return server.length("celery")
        case "nothing":
            return math.inf


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

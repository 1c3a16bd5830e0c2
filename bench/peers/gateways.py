"""One gateway process under load, and other endpoints in its place."""

from __future__ import annotations

import http.client
import math
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.common import placement
from bench.common.processes import BenchError, MeasuredProcess
from bench.common.server import free_port
from bench.peers.venvs import python

if TYPE_CHECKING:
    from bench.common.server import BenchServer
    from bench.peers.contenders import Endpoint

_START_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Pushes:
    """Answered pushes per second, and how busy each process was meanwhile: its share of one core, 0 to 1."""

    rate: float
    process: float
    server: float
    load: float


def pushes(endpoint: Endpoint, server: BenchServer, seconds: float, connections: int) -> Pushes:
    """Loads an endpoint for `seconds`, behind a warm-up of a quarter of that.

    Raises BenchError too if the server holds fewer jobs behind it than the endpoint has acknowledged.
    """
    server.flush()
    port = free_port()
    options = ["--port", str(port), "--connections", str(connections)]
    options += ["--seconds", f"{seconds:g}", "--warm-up", f"{seconds / 4:g}"]
    command = [python(endpoint.library), "-m", endpoint.module]
    told = {**settings(port, server.url), **endpoint.environment}
    with MeasuredProcess(command, told, placement.MEASURED, endpoint.folder) as process:
        # A bare endpoint knows no other path.
        wait(process, port, "POST", "/push?input=x", 202)
        with MeasuredProcess([sys.executable, "-m", "bench.peers.hammer", *options], {}, placement.REST) as load:
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


def settings(port: int, redis_url: str) -> dict[str, str]:
    """A gateway's for a measurement: nothing is refused for want of room, and nothing logged for each request."""
    return {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "REDIS_URL": redis_url,
        "MAX_BACKLOG": "100000000",
        "LOG_LEVEL": "WARNING",
    }


def _kept(endpoint: Endpoint, server: BenchServer) -> float:
    match endpoint.keeps:
        case "keys":
            return float(server.client.dbsize())
        case "list":
            return float(server.client.llen("celery"))
        case "nothing":
            return math.inf


def wait(process: MeasuredProcess, port: int, method: str, path: str, wanted: int) -> None:
    """Returns when that request is answered with the status `wanted`. Raises BenchError if it is not in time."""
    deadline = time.monotonic() + _START_PATIENCE_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request(method, path)
            status = connection.getresponse().status
        except OSError:
            status = 0
        finally:
            connection.close()
        if status == wanted:
            return
        if time.monotonic() > deadline or not process.running:
            raise process.error(f"{method} {path} is not answered with {wanted} (last status: {status or 'no answer'})")
        time.sleep(0.05)

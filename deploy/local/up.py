"""The whole service in one terminal: an embedded server (unless REDIS_URL names one), the gateway, the workers.

With `WORKERS=auto` there are as many workers as the scaler's policy wants, none at first.

Ctrl-C stops all of it in order, a second one at once. Exit code: 0 stopped on demand, 1 a part failed,
2 a bad setting, 130 stopped at once.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

import aiohttp

from deploy.local.auto import Fleet
from deploy.local.model.packages import install_for
from deploy.local.model.system_packages import PackagesError
from deploy.local.processes import Child, Printer, wants_colour
from deploy.local.server import DataDir, EmbeddedServer, StartError
from deploy.local.settings import UpSettings
from gateway.settings import GatewaySettings
from workers.process.secrets import OF_COLLECTORS, hide_secrets, without_secrets
from workers.scaler.settings import PolicySettings
from workers.settings import BAD_SETTING, LOAD_FAILED, WorkerSettings, end_with_bad_setting, load
from workers.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "leadtime"
GATEWAY = "gateway"
_MORE_PATIENCE_S = 10.0
_SERVER_PATIENCE_S = 60.0
_LONG_LIFE_S = 60.0
_ANNOUNCE_AFTER_S = 10.0


class Service:
    """The running parts."""

    def __init__(
        self, up: UpSettings, gateway: GatewaySettings, worker: WorkerSettings, policy: PolicySettings | None = None
    ) -> None:
        """`policy` is for `WORKERS=auto`."""
        self._up = up
        self._gateway = gateway
        self._worker = worker
        self._policy = policy
        most = policy.max_replicas if policy else int(up.workers)
        self._names = [f"worker-{n}" for n in range(1, most + 1)]
        width = max(map(len, [NAME, GATEWAY, *self._names]))
        self._printer = Printer(sys.stdout.buffer, width, wants_colour(sys.stdout.buffer, os.environ))
        self._environment = dict(os.environ, PORT=str(up.port), LOG_LEVEL=up.log_level, PYTHONUNBUFFERED="1")
        self._data = DataDir(up.data_dir)
        # Files go where the server's data are, unless another place is named.
        if not gateway.object_store:
            self._environment["OBJECT_STORE"] = f"file:{self._data.path / 'objects'}"
        self._server: EmbeddedServer | None = None
        self._children: dict[str, Child] = {}
        self._stopping = False
        self._killed = False

    def say(self, text: str) -> None:
        """A line of the run command's own."""
        self._printer.line(NAME, text.encode())

    async def run(self) -> int:
        """Runs until a signal comes or a part fails; then stops everything. Returns the exit code."""
        serving = asyncio.create_task(self._serve())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                loop.add_signal_handler(number, self._on_signal, serving)
        reason = ""
        try:
            await serving
        except asyncio.CancelledError:
            pass
        except StartError as error:
            reason = str(error)
            if self._children:
                self.say(reason)
        finally:
            await self._stop()
        if reason:  # below whatever the parts had to say
            print(f"error: {reason}", file=sys.stderr, flush=True)
        return 130 if self._killed else int(bool(reason))

    def _on_signal(self, serving: asyncio.Task[NoReturn]) -> None:
        """The first signal stops the service; so does a failed part, and then the first one kills."""
        if not self._stopping:
            self._stopping = True
            serving.cancel()
            return
        self._killed = True
        for child in [*self._children.values(), *([self._server.child] if self._server else [])]:
            child.kill()

    async def _serve(self) -> NoReturn:
        """Starts the parts and watches them. Raises StartError when one of them can't go on."""
        # If this folder's service has the port, that is what is to be said.
        if not self._up.redis_url:
            await self._data.lock()
        _check_port(self._gateway.host, self._up.port)
        if self._up.redis_url:
            self._environment["REDIS_URL"] = self._up.redis_url
        else:
            verbose = self._up.log_level == "DEBUG"
            self._server = await EmbeddedServer.start(
                self._printer, self._data, self._up.appendfsync, verbose, without_secrets(self._environment)
            )
            self._environment["REDIS_URL"] = self._server.url
        reasons: list[StartError] = []
        try:
            async with asyncio.TaskGroup() as group:
                if self._server:
                    group.create_task(self._watch(self._server.child))
                group.create_task(self._watch(await self._start(GATEWAY, "gateway", self._environment)))
                if self._policy:
                    group.create_task(self._scale(self._policy))
                else:
                    for number, name in enumerate(self._names):
                        group.create_task(self._keep(name, self._worker_environment(number)))
                group.create_task(self._announce())
        except* StartError as failed:
            reasons += _leaves(failed)
        raise reasons[0]

    def _worker_environment(self, number: int) -> dict[str, str]:
        """Of several workers, each has a probe port (counting up) and a ready file (`-1`, `-2`) of its own."""
        environment = without_secrets(self._environment, {"REDIS_URL", *OF_COLLECTORS})
        if len(self._names) > 1 and self._worker.probe_port:
            environment["PROBE_PORT"] = str(self._worker.probe_port + number)
        if len(self._names) > 1 and self._worker.ready_file:
            environment["READY_FILE"] = f"{self._worker.ready_file}-{number + 1}"
        return environment

    async def _start(self, name: str, module: str, environment: dict[str, str]) -> Child:
        child = await Child.start(self._printer, name, [sys.executable, "-m", module], environment)
        self._children[name] = child
        return child

    async def _watch(self, child: Child) -> NoReturn:
        await child.wait()
        raise StartError(f"{child.name} ended unexpectedly ({child.describe_end()})")

    async def _keep(self, name: str, environment: dict[str, str]) -> NoReturn:
        """Starts a worker again and again, less and less often if it keeps dying young."""
        loop = asyncio.get_running_loop()
        pause_s = 0.5
        while True:
            started = loop.time()
            worker = await self._start(name, "workers", environment)
            code = await worker.wait()
            if code == BAD_SETTING:
                raise StartError(f"{name} can't start ({worker.describe_end()})")
            # Loading in vain may take long.
            lived_long = loop.time() - started > _LONG_LIFE_S and code != LOAD_FAILED
            pause_s = 0.5 if lived_long else min(30.0, pause_s * 2)
            self.say(f"{name} ended ({worker.describe_end()}), starts again in {pause_s:g} s")
            await asyncio.sleep(pause_s)

    async def _scale(self, policy: PolicySettings) -> NoReturn:
        """Keeps as many workers as are wanted."""

        async def start(number: int) -> Child:
            environment = self._worker_environment(number - 1)
            return await self._start(f"worker-{number}", "workers", environment)

        worker = self._worker
        stream = Stream(worker.model_copy(update={"redis_url": self._environment["REDIS_URL"]}))
        patience_s = worker.grace_s + _MORE_PATIENCE_S
        jobs_at_once = worker.concurrency * max(1, worker.model_max_batch_size, worker.model_max_concurrency)
        await Fleet(stream, policy, jobs_at_once, start, self.say, patience_s).run()

    async def _announce(self) -> None:
        url = _url(self._gateway, self._up.port)
        waiting = asyncio.get_running_loop().call_later(
            _ANNOUNCE_AFTER_S, self.say, f"still waiting for {url}/readyz to answer 200"
        )
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                while not await _is_ready(session, f"{url}/readyz"):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        finally:
            waiting.cancel()
        options = "-k " if self._gateway.tls_cert_file else ""
        if self._gateway.has_keys:
            options += "-H 'Authorization: Bearer KEY' "
        if not self._gateway.has_keys and is_reached_from_outside(self._gateway.host):
            self.say(
                f"the API listens on {self._gateway.host} without API keys, so whoever reaches this machine "
                "may use it: HOST=127.0.0.1 closes it to others, API_KEYS asks for a key"
            )
        self.say(f"ready: {url} (curl {options}-X POST '{url}/push?input=hello')")

    async def _stop(self) -> None:
        self._stopping = True
        running = [child for child in self._children.values() if child.exit_code is None]
        if running and self._names:
            self.say(f"stopping; jobs at hand get {self._worker.grace_s:g} s (Ctrl-C again: none)")
        patience_s = self._worker.grace_s + _MORE_PATIENCE_S
        stopped = await asyncio.gather(*(child.stop(patience_s) for child in running))
        for child, in_time in zip(running, stopped, strict=True):
            if not in_time:
                self.say(f"{child.name} did not stop in time and was killed")
        if self._server:
            await self._server.child.stop(_SERVER_PATIENCE_S)
            self._data.remove_url()
        if self._server or self._children:
            self.say("stopped")


def _leaves(group: BaseExceptionGroup[StartError]) -> Iterator[StartError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _url(gateway: GatewaySettings, port: int) -> str:
    """The API's URL on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(gateway.host, gateway.host)  # noqa: S104
    return f"{'https' if gateway.tls_cert_file else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def is_reached_from_outside(host: str) -> bool:
    """Whether an address to listen on, or one that a name stands for, is another than this machine's loopback."""
    found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return not all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def _check_port(host: str, port: int) -> None:
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StartError(f"can't listen on {host!r}: {error.strerror}") from error
    family, kind, protocol, _, address = addresses[0]
    with socket.socket(family, kind, protocol) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StartError(f"port {port} is taken by another program: set PORT to a free one") from None
            raise StartError(f"can't listen on {host!r}, port {port}: {error.strerror}") from error


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, ssl=False) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


def main() -> None:
    """Ends the process with the service's exit code."""
    up = load(UpSettings)
    policy = load(PolicySettings) if up.workers == "auto" else None
    worker = load(WorkerSettings)
    try:
        install_for(worker.model)
    except PackagesError as error:
        end_with_bad_setting(f"error: {error}")
    service = Service(up, load(GatewaySettings), worker, policy)
    hide_secrets()
    sys.exit(asyncio.run(service.run()))


if __name__ == "__main__":
    main()

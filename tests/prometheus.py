"""A real Prometheus for tests, and its promtool, where they are installed (Debian's package `prometheus`)."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import yaml

from tests.processes import PATIENCE_S, LoggedProcess
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PROGRAMS = ("prometheus", "promtool")


def is_there() -> bool:
    """Whether both programs are installed. With REQUIRE_PROMETHEUS set, a missing one is an error."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing and os.environ.get("REQUIRE_PROMETHEUS"):
        raise RuntimeError(f"REQUIRE_PROMETHEUS is set, but there is no {' and no '.join(missing)}")
    return not missing


def promtool(*arguments: str | Path, given: str = "") -> tuple[int, str]:
    """Its exit code, and what it says. It reads what is `given` on stdin."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return done.returncode, done.stdout + done.stderr


class PrometheusServer:
    """Scrapes `targets` each second: pairs of HOST:PORT and the labels that their series get. `rules` are a file's."""

    def __init__(self, folder: Path, targets: Sequence[tuple[str, Mapping[str, str]]], rules: Path) -> None:
        port = free_port()
        self.targets = targets
        self._url = f"http://127.0.0.1:{port}"
        self._file = folder / "prometheus.yaml"
        self._file.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(rules)],
                    "scrape_configs": [
                        {
                            "job_name": f"part-{number}",
                            "static_configs": [{"targets": [target], "labels": dict(labels)}],
                        }
                        for number, (target, labels) in enumerate(targets)
                    ],
                }
            ),
            encoding="utf-8",
        )
        data = f"--storage.tsdb.path={folder / 'series'}"
        program = shutil.which("prometheus") or "prometheus"
        self._command = [program, f"--config.file={self._file}", data, f"--web.listen-address=127.0.0.1:{port}"]
        self._command += ["--enable-feature=exemplar-storage"]
        self._log = folder / "prometheus.log"

    async def __aenter__(self) -> Self:
        self._process = LoggedProcess(self._command, os.environ, self._log)
        self._session = aiohttp.ClientSession(self._url)
        try:
            await self._process.says("Server is ready to receive web requests")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        self._process.kill()
        self._process.reap()

    async def ask(self, path: str, **query: str) -> Any:
        """The data that its API answers with. Raises AssertionError with its words if it refuses."""
        async with self._session.get(f"/api/v1/{path}", params=query) as response:
            document = await response.json()
        assert document["status"] == "success", f"{query}: {document}"
        return document["data"]

    async def values(self, expression: str) -> list[float]:
        """What an expression is now, without what is no number."""
        found = await self.ask("query", query=expression)
        numbers = [float(one["value"][1]) for one in found["result"]]
        return [number for number in numbers if number == number]  # noqa: PLR0124 - not NaN

    async def scraped(self) -> None:
        """Returns once each target has been scraped."""
        async with asyncio.timeout(PATIENCE_S):
            while sum(await self.values("up")) < len(self.targets):  # noqa: ASYNC110
                await asyncio.sleep(0.2)

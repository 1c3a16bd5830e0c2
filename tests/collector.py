"""A real OpenTelemetry collector for tests: built from Go modules (`tests/otelcol`), as a process of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.processes import ROOT, LoggedProcess
from tests.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

# Two minutes of one core when Go's cache is empty; then the modules have to be fetched, too.
BUILD_S = 600.0
_CONFIG = """receivers: {{otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{port}}}}}}}}}
exporters: {{file: {{path: {file}, flush_interval: 100ms}}}}
service: {{pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}}}
"""


def built_collector(folder: Path) -> Path:
    """The program. Skips the test if it can't be built here."""
    if (go := shutil.which("go")) is None:
        pytest.skip("the collector is built with Go, which is not installed")
    program = folder / "otelcol"
    command = [go, "build", "-mod=readonly", "-buildvcs=false", "-o", str(program), "."]
    try:
        subprocess.run(command, cwd=ROOT / "tests" / "otelcol", capture_output=True, check=True, timeout=BUILD_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the collector could not be built within {BUILD_S:g} s")
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        pytest.skip(f"the collector could not be built: {''.join(last)}")
    return program


class OtelCollector:
    """Takes OTLP over HTTP at `endpoint`, and writes what it gets to a file."""

    def __init__(self, program: Path, folder: Path) -> None:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self._file = folder / "spans.json"
        config = folder / "otelcol.yaml"
        config.write_text(_CONFIG.format(port=port, file=self._file), encoding="utf-8")
        command = [str(program), "--config", f"file:{config}"]
        self.process = LoggedProcess(command, os.environ, folder / "otelcol.log")
        self._port = port

    @property
    def listens(self) -> bool:
        """Whether it takes spans now."""
        assert self.process.running, self.process.text
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self._port)) == 0

    def spans(self) -> list[dict[str, Any]]:
        """The spans that have come, each with its attributes and its service's name as plain members."""
        text = self._file.read_bytes() if self._file.exists() else b""
        batches = [orjson.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]
        return [
            {
                **span,
                "attributes": _plain(span.get("attributes", [])),
                "service": _plain(resource["resource"]["attributes"])["service.name"],
            }
            for batch in batches
            for resource in batch["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


def _plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in attributes}

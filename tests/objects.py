"""A real S3 for tests: SeaweedFS, as a process of its own."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import obstore
import orjson
from obstore.exceptions import BaseError
from obstore.store import from_url

from tests.processes import PATIENCE_S, LoggedProcess
from tests.servers import free_port

_KEY = "test-key"
_SECRET = "test-secret"
STUCK_S = 15.0
_PARTS = ("master", "volume", "filer", "s3")


class S3Server:
    """An S3 on ports of its own with the bucket `objects`. It can be killed, and started again on its data."""

    url = "s3://objects"

    def __init__(self, folder: Path) -> None:
        self._log = folder / "s3.log"
        data = folder / "data"
        data.mkdir()
        self._data = data
        config = folder / "s3.json"
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": _KEY, "secretKey": _SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        config.write_bytes(orjson.dumps({"identities": [identity]}))
        first = free_port(following=2 * len(_PARTS) - 1)
        ports = [
            option
            for number, part in enumerate(_PARTS)
            for option in (f"-{part}.port={first + 2 * number}", f"-{part}.port.grpc={first + 2 * number + 1}")
        ]
        self.endpoint = f"http://127.0.0.1:{first + 2 * _PARTS.index('s3')}"
        self._command = [
            *(str(Path(sys.executable).with_name("weed")), "server", f"-dir={data}", "-s3"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0", *ports),
            f"-s3.config={config}",
            *("-master.volumeSizeLimitMB=64", "-volume.max=40", "-master.telemetry=false"),
        ]
        self._ports = range(first, first + 2 * len(_PARTS))
        self._process: LoggedProcess | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What its clients need in their environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Returns when it answers and has the bucket."""
        deadline = time.monotonic() + 2 * PATIENCE_S
        self._process = LoggedProcess(self._command, os.environ, self._log)
        begun = time.monotonic()
        while not self._answers():
            assert time.monotonic() < deadline, self._process.text
            # A port may be that of somebody's connection just now; after a kill its parts may miss each other.
            if not self._process.running or time.monotonic() - begun > STUCK_S:
                self.kill()
                self._process = LoggedProcess(self._command, os.environ, self._log)
                begun = time.monotonic()
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether it takes an object; the first one makes the bucket."""
        config: Any = {name.lower(): value for name, value in self.variables.items()}
        options: Any = {"allow_http": True, "timeout": "5s"}
        store = from_url(self.url, config=config, client_options=options, retry_config={"max_retries": 0})
        try:
            obstore.put(store, "ready", b"yes")
        except BaseError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.reap()
            self._process = None
            # Its one master can't always elect itself by what the one before has written.
            for state in self._data.glob("m*"):
                shutil.rmtree(state)
            for port in self._ports:
                for path in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
                    path.unlink()

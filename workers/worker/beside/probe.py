"""What an operator or Kubernetes asks a worker: is it alive, is it ready, what has it done.

| path | 200 means | 503 means |
| --- | --- | --- |
| `/healthz` | the event loop and the heartbeat go on | the heartbeat is stuck: restart it |
| `/readyz` | it claims jobs, the server takes its writes | it starts, loads its model, stops, or has no server |
| `/metrics` | Prometheus' text format | - |

A model that is busy fails neither. Nor is the heartbeat stuck while the server is away: it goes on trying, and a
restart would only end the job at hand. It is stuck when it has done nothing for one lease, which is three
heartbeats, and five times REDIS_TIMEOUT_S. A blocked event loop answers nothing at all.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from workers.telemetry.probe_site import ProbeAnswer, ProbeFailed, ProbeSite

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.worker.beside.heartbeat import Heartbeat
    from workers.worker.session import Session


class Probe:
    """Serves PROBE_PORT and keeps READY_FILE, if they are set. `loaded_models` counts the model's live processes."""

    def __init__(self, session: Session, heartbeat: Heartbeat, loaded_models: Callable[[], int]) -> None:
        self._session = session
        self._heartbeat = heartbeat
        self._port = session.settings.probe_port
        self._ready_file = Path(session.settings.ready_file) if session.settings.ready_file else None
        metrics = session.metrics
        self._site = ProbeSite(self._healthz, self._readyz, metrics.text)
        metrics.add_gauge("leadtime_worker_running_jobs", "Jobs that run now.", lambda: session.life.running)
        metrics.add_gauge("leadtime_worker_loaded_models", "Loaded, live processes of the model.", loaded_models)
        metrics.add_gauge("leadtime_worker_ready", "1 while this worker claims jobs.", lambda: session.ready)
        metrics.add_gauge(
            "leadtime_worker_heartbeat_age_seconds",
            "Seconds since the heartbeat last did something.",
            lambda: heartbeat.age_s,
        )

    async def open(self) -> None:
        """Removes a ready file that was left behind, and listens. Raises ProbeFailed."""
        if self._ready_file is not None:
            self._check_ready_file(self._ready_file)
        if self._port:
            await self._site.open(self._port)

    async def run(self) -> None:
        """Keeps the ready file true. Ends by cancellation, and then serves no more."""
        changed = self._session.life.changed
        try:
            while True:
                changed.clear()
                self._tell(self._session.ready)
                await changed.wait()
        finally:
            self._tell(False)
            await self._site.close()

    def _check_ready_file(self, file: Path) -> None:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise ProbeFailed(f"bad setting READY_FILE={str(file)!r}: it can't be removed: {error.strerror}") from error
        if not (file.parent.is_dir() and os.access(file.parent, os.W_OK | os.X_OK)):
            raise ProbeFailed(f"bad setting READY_FILE={str(file)!r}: its folder is not there or can't be written to")

    def _tell(self, ready: bool) -> None:
        if self._ready_file is None:
            return
        if ready:
            self._ready_file.touch()
        else:
            with contextlib.suppress(OSError):
                self._ready_file.unlink(missing_ok=True)

    def _healthz(self) -> ProbeAnswer:
        age_s, limit_s = self._heartbeat.age_s, self._heartbeat.limit_s
        if age_s > limit_s:
            return ProbeAnswer(
                False, f"the heartbeat is stuck: it did nothing for {age_s:.1f} s, {limit_s:g} s are allowed"
            )
        return ProbeAnswer(True, "alive")

    def _readyz(self) -> ProbeAnswer:
        session = self._session
        if session.ready:
            return ProbeAnswer(True, "ready")
        if not session.outage.available:
            return ProbeAnswer(False, session.outage.reason)
        return ProbeAnswer(False, "stopping" if session.life.stopping.is_set() else "starting")

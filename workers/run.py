"""`python -m workers.run tasks.WorkerSettings`: arq's command line, with this project's worker.

It takes arq's options: `--burst`, `--check`, `--watch`, `--verbose` and `--custom-log-dict`.
"""

from __future__ import annotations

from workers.process.init import leave_pid_1

if __name__ == "__main__":
    leave_pid_1()  # before the imports, as in `python -m workers`

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from arq import cli
from arq import worker as arq_worker
from arq.logs import default_log_config

from workers.arq.arguments import BadArgument, settings_of
from workers.arq.client import connect_client
from workers.settings import WorkerSettings, end_with_bad_setting, load
from workers.stream import bad_server
from workers.telemetry.tracing import open_tracing, tracer_or_end
from workers.worker import Worker

if TYPE_CHECKING:
    from arq.typing import WorkerSettingsType

SettingsClass: TypeAlias = type | dict[str, Any]
SERVICE = "leadtime-worker"
logger = logging.getLogger("workers.run")


def create_worker(settings_cls: SettingsClass, **kwargs: Any) -> Worker:
    """arq's `create_worker`: the worker that a class or dict of settings describes."""
    if (tracer := open_tracing(SERVICE)) is not None:
        kwargs.setdefault("tracer", tracer)
    # arq's own function, as Sentry's integration wraps the functions in it.
    arqs = arq_worker.Worker
    arq_worker.Worker = Worker  # type: ignore[misc]
    try:
        worker = arq_worker.create_worker(cast("WorkerSettingsType", settings_cls), **kwargs)
    finally:
        arq_worker.Worker = arqs  # type: ignore[misc]
    assert isinstance(worker, Worker)  # noqa: S101
    return worker


def run_worker(settings_cls: SettingsClass, **kwargs: Any) -> Worker:
    """arq's `run_worker`: makes the worker and runs it until it is told to stop."""
    worker = create_worker(settings_cls, **kwargs)
    worker.run()
    return worker


async def async_check_health(settings: WorkerSettings, health_check_key: str | None = None) -> int:
    """0 if a worker of the queue has written its health line lately, otherwise 1."""
    async with connect_client(settings) as client:
        line = await client.get(health_check_key or client.stream.health_key)
    if line is None:
        logger.warning("Health check failed: no health check sentinel value found")
        return 1
    logger.info("Health check successful: %s", line.decode())
    return 0


def check_health(settings_cls: SettingsClass) -> int:
    """arq's `check_health`: the exit code that says whether a worker lives."""
    members = settings_cls if isinstance(settings_cls, dict) else settings_cls.__dict__
    chosen = {name: members[name] for name in ("queue_name", "redis_settings", "redis_pool") if name in members}
    settings = settings_of(members.get("settings") or WorkerSettings(), chosen)
    return asyncio.run(async_check_health(settings, members.get("health_check_key")))


def main() -> None:
    """arq's command, whose parts are replaced by those above. Exit code 2: a bad setting or argument."""
    vars(cli).update(
        create_worker=create_worker, run_worker=run_worker, check_health=check_health, default_log_config=log_config
    )
    load(WorkerSettings)
    tracer_or_end(SERVICE)
    try:
        cli.cli(prog_name="python -m workers.run")
    except BadArgument as error:
        end_with_bad_setting(str(error))
    except ImportError as error:
        named = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
        # What the named module itself fails to import has a traceback.
        if error.name is None or f"{named}.".startswith(f"{error.name}."):
            end_with_bad_setting(f"{named} can't be imported: {error}")
        raise
    except Exception as error:
        if sentence := bad_server(error):
            end_with_bad_setting(f"bad setting REDIS_URL: {sentence}")
        raise


def log_config(verbose: bool) -> dict[str, Any]:
    """arq's configuration of logging, for this project's loggers too."""
    config = default_log_config(verbose)
    config["loggers"]["workers"] = config["loggers"]["arq"]
    return config


if __name__ == "__main__":
    main()

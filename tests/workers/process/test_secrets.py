"""What the model can know of the service's secrets."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import orjson
import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

import deploy.local.settings
import gateway.settings
import workers.kubernetes.deletion_cost
import workers.scaler.settings
from tests.workers.service import WorkerProcess, push, until_ended
from workers.process.secrets import OF_COLLECTORS, SECRETS, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.settings import WorkerSettings
    from workers.stream import Stream

# Settings by which this test finds all classes of them.
MODULES = (deploy.local.settings, gateway.settings, workers.kubernetes.deletion_cost, workers.scaler.settings)


def classes(of: type[BaseSettings] = BaseSettings) -> Iterator[type[BaseSettings]]:
    for found in of.__subclasses__():
        yield found
        yield from classes(found)


def test_every_secret_setting_is_known_as_one() -> None:
    found = {
        name.upper()
        for settings in classes()
        if settings.__module__.split(".")[0] in {"deploy", "gateway", "workers"}
        for name, field in settings.model_fields.items()
        if field.annotation is SecretStr or not field.repr
    }
    assert found | OF_COLLECTORS == SECRETS


def test_secrets_are_left_out_in_any_case_of_letters() -> None:
    environment = {"REDIS_URL": "a", "Api_Keys": "b", "MODEL_HOME": "c", "MY_REDIS_URL": "d"}
    assert without_secrets(environment) == {"MODEL_HOME": "c", "MY_REDIS_URL": "d"}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_the_model_can_read_no_secret_in_any_environment(
    one_stream: Stream, one_settings: WorkerSettings, tmp_path: Path
) -> None:
    """Not in its own, nor in that of its guardian, its worker and what has started that; as root either."""
    secret = "sesame-open-sesame"
    options = {"MODEL": "tests.workers.models:Scripted", "API_KEYS": secret, "MODEL_HOME": "weights"}
    options["REDIS_URL"] = f"{one_settings.redis_url}?client_name={secret}"
    with WorkerProcess(tmp_path, one_settings, **options) as worker:
        await worker.says("ready: predict")
        jobs = [await push(one_stream, "predict", orjson.dumps([[name]])) for name in ("variables", "environments")]
        variables, environments = [orjson.loads((await until_ended(one_stream, job)).result or b"") for job in jobs]

        assert not {"REDIS_URL", "API_KEYS"} & set(variables)
        assert variables["MODEL_HOME"] == "weights"
        assert "MODEL_HOME=weights" in environments
        assert f"QUEUE_NAME={one_settings.queue_name}" in environments
        assert secret not in environments
        assert os.stat(f"/proc/{worker.pid}/mem").st_uid == 0  # nobody else may read it

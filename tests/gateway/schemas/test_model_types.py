"""The model's types in /openapi.json: a client can be generated of them, whatever the classes are called."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import schemathesis
from pydantic import BaseModel

from gateway.documents.openapi.document import describe
from gateway.schemas.model_types import ModelTypes
from gateway.settings import GatewaySettings
from tests.gateway.service import CLIENT_CONFIG
from tests.workers.model_host.calls import shapes
from tests.workers.model_host.calls.outputs.yielding import Words
from workers.model_host.calls.inputs.binding import binder_of
from workers.model_host.calls.schemas.describing import described

if TYPE_CHECKING:
    from collections.abc import Callable


def predict_of_our_names() -> Callable[..., Any]:
    """A `predict` whose classes are called as the service's."""

    class Job(BaseModel):
        status: int

    class Result(BaseModel):
        id: int
        job: Job

    def predict(job):  # type: ignore[no-untyped-def]
        return job

    predict.__annotations__ = {"job": Job, "return": Result}
    return predict


PREDICTS: dict[str, Callable[..., Any]] = {
    name: getattr(shapes, name)().predict
    for name in ("TakesInteger", "TakesBox", "TakesMembers", "TakesUntyped", "TakesTyped")
} | {"Words": Words().predict, "our names": predict_of_our_names()}


def types_of(predict: Callable[..., Any]) -> ModelTypes:
    """The types that a worker with this `predict` publishes."""
    return ModelTypes(orjson.loads(described(predict, binder_of(predict)).schema))


@pytest.mark.parametrize("name", PREDICTS)
def test_the_document_with_types_is_valid_and_the_one_without_stays(name: str) -> None:
    document = describe(GatewaySettings())
    before = copy.deepcopy(document)

    added = types_of(PREDICTS[name]).added_to(document)

    schemathesis.openapi.from_dict(added).validate()
    assert added != before
    assert document == before


def test_members_of_the_result_do_not_replace_the_services() -> None:
    schemas = types_of(PREDICTS["our names"]).added_to(describe(GatewaySettings()))["components"]["schemas"]

    properties = schemas["Result"]["properties"]
    assert properties["id"]["type"] == "string"
    assert properties["job"] == {"$ref": "#/components/schemas/Model.Job"}
    assert schemas["Job"]["properties"]["status"] == {"$ref": "#/components/schemas/Status"}


@pytest.mark.parametrize("name", ["TakesTyped", pytest.param("our names", marks=pytest.mark.slow)])
def test_a_client_can_be_generated(name: str, tmp_path: Path) -> None:
    document = types_of(PREDICTS[name]).added_to(describe(GatewaySettings()))
    (tmp_path / "openapi.json").write_bytes(orjson.dumps(document))
    (tmp_path / "config.yaml").write_text(CLIENT_CONFIG)
    command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--fail-on-warning"]
    command += ["--path", "openapi.json", "--config", "config.yaml", "--meta", "none", "--output-path", "client"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr

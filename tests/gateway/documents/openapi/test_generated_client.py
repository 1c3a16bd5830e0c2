"""openapi-python-client makes a client of the description, and each answer is read as what it is."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.gateway.service import CLIENT_CONFIG, GatewayProcess
from workers.stream import Finish, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from workers.stream import StreamSettings

KEY = "key-0123456789abcdef"
WAIT_S = 20


class Generated:
    """The generated package: its models by name, its functions by the operation, and a client of the gateway."""

    def __init__(self, package: str, base: str, key: str) -> None:
        self._package = package
        self._base = base
        self.key = key
        self.models = importlib.import_module(f"{package}.models")
        self.client = self.client_with(key)

    def client_with(self, key: str) -> Any:
        """A client with an API key, or without."""
        module = importlib.import_module(self._package)
        return module.AuthenticatedClient(self._base, key) if key else module.Client(self._base)

    def call(self, operation: str, *arguments: Any, **more: Any) -> Coroutine[Any, Any, Any]:
        """The answer of an operation: `status_code`, and the document as `parsed`."""
        module = importlib.import_module(f"{self._package}.api.jobs.{operation}")
        return module.asyncio_detailed(*arguments, **{"client": self.client, **more})  # type: ignore[no-any-return]


@pytest.fixture(
    scope="module", params=[pytest.param("", id="open", marks=pytest.mark.slow), pytest.param(KEY, id="locked")]
)
def made(
    request: pytest.FixtureRequest, settings: StreamSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, str]]:
    """A package's name, and the URL and the key of the running gateway whose description it was made from."""
    key, folder = str(request.param), tmp_path_factory.mktemp("client")
    gateway = GatewayProcess(settings, API_KEYS=key, PUSH_FUNCTIONS="predict,count")
    gateway.start()
    asyncio.run(save_description(gateway, key, folder / "openapi.json"))
    (folder / "config.yaml").write_text(CLIENT_CONFIG)
    package = f"client_{'locked' if key else 'open'}"
    command = [str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--fail-on-warning"]
    command += ["--path", "openapi.json", "--config", "config.yaml", "--meta", "none", "--output-path", package]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(folder)
        yield package, gateway.base, key
    assert gateway.stop() == 0


async def save_description(gateway: GatewayProcess, key: str, path: Path) -> None:
    async with (
        gateway.client(),
        gateway.http.get("/openapi.json", headers={"Authorization": f"Bearer {key}"}) as answer,
    ):
        path.write_bytes(await answer.read())


@pytest.fixture
async def generated(made: tuple[str, str, str], stream: Stream) -> AsyncIterator[Generated]:
    """The package with a client of the gateway, whose queue is empty."""
    generated = Generated(*made)
    async with generated.client:
        yield generated


async def end_next(stream: Stream, status: Literal["finished", "failed"], body: bytes) -> str:
    """Does a worker's work for the next job; its id."""
    while not (claimed := await stream.claim("worker-7", 1)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    [job] = claimed
    await stream.finish("worker-7", [Finish(job.id, 1, status, body, 60_000)])
    return job.id


async def waited(
    generated: Generated, stream: Stream, status: Literal["finished", "failed"], body: bytes
) -> tuple[Any, str]:
    """What a push that waits gets when its job ends so, and the job's id."""
    push = asyncio.ensure_future(generated.call("push", body={"text": "hello"}, wait=WAIT_S))
    job_id = await end_next(stream, status, body)
    answer = await push
    assert answer.status_code == 200
    return answer.parsed, job_id


async def test_each_answer_is_read_as_what_it_is(generated: Generated, stream: Stream) -> None:
    models = generated.models

    plain = await generated.call("push", input_="hello")
    early = await generated.call("push", input_="hello", wait=0.01)
    function = await generated.call("push_function", "count", body=models.PushFunctionBody(args=[7]))
    preferred = await generated.call("push", body=7, prefer="wait=0")
    assert [answer.status_code for answer in (plain, early, function, preferred)] == [202] * 4
    assert [type(answer.parsed) for answer in (plain, early, function, preferred)] == [
        models.Pushed,
        models.Job,
        models.Pushed,
        models.Pushed,
    ]
    assert early.parsed.status == models.Status.QUEUED
    assert early.parsed.ahead == 1
    assert early.headers["Location"] == f"/status/{early.parsed.id}"

    unknown = await generated.call("status", "job-7")
    unfinished = await generated.call("data", plain.parsed.id)
    refused = await generated.call("push", input_="hello", idempotency_key="\x7f")
    assert [answer.status_code for answer in (unknown, unfinished, refused)] == [404, 404, 400]
    assert {type(answer.parsed) for answer in (unknown, unfinished, refused)} == {models.Problem}
    assert (unknown.parsed.status, unknown.parsed.detail) == (404, "job not found")
    assert unfinished.parsed.job_status == models.Status.QUEUED

    for answer in (plain, early, function, preferred):
        cancelled = await generated.call("cancel", answer.parsed.id)
        assert (type(cancelled.parsed), cancelled.parsed.status) == (models.Changed, models.Status.CANCELLED)


async def test_a_result_has_the_models_own_members(generated: Generated, stream: Stream) -> None:
    models = generated.models

    job, job_id = await waited(generated, stream, "finished", b'{"score":0.7,"labels":["cat"]}')
    assert (type(job), job.id, job.status) == (models.FinishedJob, job_id, models.Status.FINISHED)
    assert job.additional_properties == {"score": 0.7, "labels": ["cat"]}
    data = (await generated.call("data", job_id)).parsed
    assert (type(data), data.id, data.additional_properties) == (models.Result, job_id, job.additional_properties)

    # All names of the service's own, as a model may return them.
    own = b'{"id":"own-7","latency":7,"input":"own","status":"finished"}'
    apart, job_id = await waited(generated, stream, "finished", own)
    assert (type(apart), apart["id"], apart.field_job["id"]) == (models.ResultApart, "own-7", job_id)
    data = (await generated.call("data", job_id)).parsed
    assert (type(data), data["id"], data.field_job["id"]) == (models.ResultApart, "own-7", job_id)

    failed, _ = await waited(generated, stream, "failed", b'{"type":"ValueError","message":"no"}')
    assert (type(failed), failed.status, failed.error.message) == (models.Job, models.Status.FAILED, "no")


async def test_without_its_key_a_client_is_told_so(generated: Generated) -> None:
    async with generated.client_with("") as keyless:
        answer = await generated.call("push", client=keyless, input_="hello")
    expected = (401, generated.models.Problem) if generated.key else (202, generated.models.Pushed)
    assert (answer.status_code, type(answer.parsed)) == expected

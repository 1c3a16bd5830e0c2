"""What docs/model.md says of functions of one's own works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

import aiohttp

from tests.processes import ROOT, LoggedProcess, module
from tests.servers import free_port
from tests.workers.service import WorkerProcess, until_ended
from workers.settings import WorkerSettings
from workers.stream import NewJob, Status, Stream

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Server

SECTION = (ROOT / "docs/model.md").read_text(encoding="utf-8").partition("\n## Functions of your own\n")[2]
PYTHON = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
COMMANDS = [
    shlex.split(line) for line in re.findall(r"^ {4}(\w.*)$", re.sub(r"(?ms)^```.*?^```", "", SECTION), re.MULTILINE)
]


def written(folder: Path, name: str, text: str) -> list[str]:
    """The command that runs a file with this text."""
    (folder / name).write_text(text)
    return [*module("x")[:1], str(folder / name)]


async def test_the_manuals_functions_are_pushed_from_python_and_over_http_beside_the_model(
    valkey: Server, tmp_path: Path
) -> None:
    tasks, push = PYTHON
    gateway, curl = COMMANDS
    port = free_port()
    settings = WorkerSettings(redis_url=valkey.url, lease_s=5)
    environment = {**os.environ, "REDIS_URL": valkey.url, "PYTHONPATH": str(ROOT)}
    names = dict(word.split("=") for word in gateway if "=" in word)
    assert (names.pop("PORT"), gateway[-3:]) == ("8003", ["python", "-m", "gateway"])
    model, own = Stream(settings), Stream(settings.model_copy(update={"queue_name": names["QUEUE_NAME"]}))

    with (
        WorkerProcess(tmp_path, settings) as model_worker,
        LoggedProcess(written(tmp_path, "tasks.py", tasks), environment, tmp_path / "tasks.log"),
        LoggedProcess(module("gateway"), {**environment, **names, "PORT": str(port)}, tmp_path / "gateway.log") as http,
    ):
        await model_worker.says("ready: predict")
        pushing = LoggedProcess(written(tmp_path, "push.py", push), environment, tmp_path / "push.log")
        assert await pushing.code() == 0
        assert pushing.text == "3 to go\n"

        await http.says("running on")
        assert curl[:2] == ["curl", "--json"]
        url, body = curl[3].replace("8003", str(port)), curl[2]
        headers = {"Content-Type": "application/json"}
        async with aiohttp.ClientSession() as client, client.post(url, data=body, headers=headers) as response:
            assert (response.status, (await response.json())["output"]) == (200, "3 to go")

        await model.push(NewJob("job-of-the-model", b'["hello"]'))
        assert (await until_ended(model, "job-of-the-model")).status is Status.FINISHED
        assert await model.dead_letters() == await own.dead_letters() == []
        [worker] = await own.workers()
        assert worker.fields["functions"] == '["count_down"]'
    await model.close()
    await own.close()

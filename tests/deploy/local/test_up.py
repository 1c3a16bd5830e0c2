"""The README's run command, on real processes."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import ssl
import stat
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
import redis
import trustme

from deploy.local.up import is_reached_from_outside, main
from tests.deploy.local.old_client import ask, run
from tests.deploy.local.service import RunCommand, gone
from tests.processes import PATIENCE_S
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

pytestmark = pytest.mark.fault

OPEN_TO_ALL = "leadtime | the API listens on 0.0.0.0 without API keys, so whoever reaches this machine may use it: "


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunCommand]:
    """A running service with one worker, ready for requests."""
    with RunCommand(tmp_path) as service:
        service.wait_for("leadtime | ready: ")
        yield service


def part(service: RunCommand, module: str) -> psutil.Process:
    """The process that runs `python -m MODULE`."""
    [found] = service.parts(module)
    return found


def test_old_client(service: RunCommand) -> None:
    texts = [f"text {n} äöü" for n in range(10)]
    answers = run(service.base, texts)
    assert [answer["input"] for answer in answers] == texts
    for text, answer in zip(texts, answers, strict=True):
        assert set(answer) == {"output", "input", "latency", "id"}
        assert text in answer["output"]
        assert 0.05 <= answer["latency"] < PATIENCE_S
    assert service.interrupt() == 0
    assert "worker-1 | " in service.text
    assert "gateway  | " in service.text
    assert service.text.count(OPEN_TO_ALL) == 1
    assert "Traceback" not in service.text


def test_only_the_loopback_addresses_are_closed_to_other_machines() -> None:
    hosts = ("127.0.0.1", "127.0.0.2", "::1", "localhost", "0.0.0.0", "::", "192.0.2.7")  # noqa: S104

    assert [host for host in hosts if is_reached_from_outside(host)] == ["0.0.0.0", "::", "192.0.2.7"]  # noqa: S104


def test_data_is_for_its_owner_only(service: RunCommand, tmp_path: Path) -> None:
    """The folder holds inputs and results, and how to reach the server."""
    data = tmp_path / "data"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "redis-url").stat().st_mode) == 0o600
    url = (data / "redis-url").read_text().strip()
    with redis.Redis.from_url(url) as client, redis.Redis(port=client.get_connection_kwargs()["port"]) as stranger:
        assert client.ping()
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
    assert service.interrupt() == 0
    assert not (data / "redis-url").exists()


def test_other_server_tls_and_keys(tmp_path: Path, valkey: Server) -> None:
    """REDIS_URL starts no embedded server; the line to try is one that works."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls = {"TLS_CERT_FILE": str(tmp_path / "cert.pem"), "TLS_KEY_FILE": str(tmp_path / "key.pem")}
    queue = {"REDIS_URL": valkey.url, "QUEUE_NAME": f"up-{uuid.uuid4().hex}"}
    key = "0123456789abcdef"
    keys = tmp_path / "keys.yaml"  # as `key new` prints them
    keys.write_text(f"keys: [{{name: ann, sha256: [{hashlib.sha256(key.encode()).hexdigest()}]}}]")
    with RunCommand(tmp_path, WORKERS="0", API_KEYS_FILE=str(keys), **tls, **queue) as service:
        service.wait_for("leadtime | ready: ")
        url = f"https://127.0.0.1:{service.port}"
        assert f"(curl -k -H 'Authorization: Bearer KEY' -X POST '{url}/push?input=hello')" in service.text
        request = Request(f"{url}/push?input=hello", method="POST", headers={"Authorization": f"Bearer {key}"})  # noqa: S310
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with urlopen(request, timeout=PATIENCE_S, context=context) as response:  # noqa: S310
            assert response.status == 202
        assert "valkey" not in service.text
        assert "without API keys" not in service.text
        assert service.interrupt() == 0
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["objects"]


@pytest.mark.slow
def test_several_workers_have_probes_of_their_own(tmp_path: Path) -> None:
    port, ready = free_port(following=1), tmp_path / "ready"
    with RunCommand(tmp_path, WORKERS="2", PROBE_PORT=str(port), READY_FILE=str(ready)) as service:
        service.wait_for("worker-1 | ", "ready: predict")
        service.wait_for("worker-2 | ", "ready: predict")
        assert sorted(file.name for file in tmp_path.glob("ready*")) == ["ready-1", "ready-2"]
        for number in range(2):
            with urlopen(f"http://127.0.0.1:{port + number}/readyz", timeout=PATIENCE_S) as response:
                assert response.status == 200
        assert service.interrupt() == 0


@pytest.mark.slow
def test_hang_up(tmp_path: Path) -> None:
    """A closed terminal stops the service, unless it was started with nohup."""

    def started_with(handler: signal.Handlers) -> RunCommand:
        before = signal.signal(signal.SIGHUP, handler)
        try:
            return RunCommand(tmp_path, WORKERS="0")
        finally:
            signal.signal(signal.SIGHUP, before)

    with started_with(signal.SIG_IGN) as service:
        service.wait_for("leadtime | ready: ")
        service.send(signal.SIGHUP)
        assert ask(f"{service.base}/push?input=hello", "POST")["id"]
        assert service.interrupt() == 0
    with started_with(signal.SIG_DFL) as service:
        service.wait_for("leadtime | ready: ")
        assert service.interrupt(signal.SIGHUP) == 0


def test_jobs_survive_a_restart(tmp_path: Path) -> None:
    with RunCommand(tmp_path, WORKERS="0") as service:
        service.wait_for("leadtime | ready: ")
        ids = [ask(f"{service.base}/push?input=hello{n}", "POST")["id"] for n in range(3)]
        assert service.interrupt() == 0
    with RunCommand(tmp_path, WORKERS="2") as service:
        service.wait_for("leadtime | ready: ")
        for job_id in ids:
            assert ask(f"{service.base}/status/{job_id}?wait=30")["status"] == "finished"
        assert service.interrupt(signal.SIGTERM) == 0


def test_jobs_survive_sigkill(tmp_path: Path) -> None:
    with RunCommand(tmp_path, WORKERS="0") as service:
        service.wait_for("leadtime | ready: ")
        job_id = ask(f"{service.base}/push?input=hello", "POST")["id"]
        below = service.processes()[1:]
        assert len(below) >= 2
        service.send(signal.SIGKILL)
        service.reap(PATIENCE_S)
        assert gone(below) == []
    with RunCommand(tmp_path) as service:
        service.wait_for("leadtime | ready: ")
        assert ask(f"{service.base}/status/{job_id}?wait=30")["status"] == "finished"
        assert service.interrupt() == 0


@pytest.mark.slow
def test_second_signal_stops_at_once(tmp_path: Path) -> None:
    with RunCommand(tmp_path, MODEL_PREDICT_S="1000", GRACE_S="1000") as service:
        service.wait_for("leadtime | ready: ")
        job_id = ask(f"{service.base}/push?input=hello", "POST")["id"]
        deadline = time.monotonic() + PATIENCE_S
        while ask(f"{service.base}/status/{job_id}")["status"] != "processing":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        below = service.processes()[1:]
        service.send(signal.SIGINT)
        service.wait_for("stopping")
        service.send(signal.SIGINT)
        assert service.reap(PATIENCE_S) == 130
        assert gone(below) == []


def test_dead_worker_is_replaced(service: RunCommand) -> None:
    part(service, "workers").kill()
    service.wait_for("worker-1 ended (killed by SIGKILL)")
    job_id = ask(f"{service.base}/push?input=hello", "POST")["id"]
    assert ask(f"{service.base}/status/{job_id}?wait=30")["status"] == "finished"
    assert service.interrupt() == 0


@pytest.mark.parametrize(
    ("word", "name"), [("gateway", "gateway"), pytest.param("valkey-server", "valkey", marks=pytest.mark.slow)]
)
def test_dead_part_stops_all(service: RunCommand, word: str, name: str) -> None:
    below = service.processes()[1:]
    found = [process for process in below if word in " ".join(process.cmdline())]
    assert len(found) == 1, found
    found[0].kill()
    assert service.reap(PATIENCE_S) == 1
    assert service.text.endswith(f"error: {name} ended unexpectedly (killed by SIGKILL)\n")
    assert gone(below) == []


@pytest.mark.slow
def test_second_run_in_the_same_folder_is_refused(service: RunCommand, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    for more in ({}, {"PORT": service.base.rpartition(":")[2]}):
        with RunCommand(second, DATA_DIR=str(tmp_path / "data"), **more) as other:
            assert other.reap(PATIENCE_S) == 1
            assert f"error: the service runs already (process {service.pid} uses " in other.text
    with pytest.raises(HTTPError, match="404"):
        ask(f"{service.base}/status/{'0' * 32}")


def test_taken_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with RunCommand(tmp_path, PORT=str(port)) as service:
            assert service.reap(PATIENCE_S) == 1
            assert f"error: port {port} is taken by another program: set PORT to a free one\n" in service.text
            assert "Traceback" not in service.text


def test_a_bad_setting_ends_it_with_one_line(tmp_path: Path) -> None:
    with RunCommand(tmp_path, PORT="x") as service:
        assert service.reap(PATIENCE_S) == 2
        assert service.text.startswith("bad setting PORT='x': ")
        assert service.text.count("\n") == 1


@pytest.mark.parametrize("workers", ["1", "auto"])
@pytest.mark.parametrize(("name", "value"), [("APPENDFSYNC", "never"), ("MAX_ATTEMPTS", "0"), ("MAX_WAIT_S", "nan")])
def test_settings_of_every_part_are_checked_before_any_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], workers: str, name: str, value: str
) -> None:
    monkeypatch.setenv("WORKERS", workers)
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as end:
        main()

    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"bad setting {name}={value!r}: ")


@pytest.mark.parametrize(("name", "value"), [("WORKERS", "many"), ("MAX_REPLICAS", "0"), ("LATE_COST", "0")])
def test_settings_of_the_number_of_workers_are_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv("WORKERS", "auto")
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as end:
        main()

    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"bad setting {name}={value!r}: ")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_no_part_shows_its_secrets_and_all_that_a_model_started_dies_with_the_run_command(tmp_path: Path) -> None:
    key, daemon = "sesame-open-sesame", tmp_path / "daemon"
    settings = {"API_KEYS": key, "MODEL": "tests.workers.models:Closing", "ENDING_FILE": str(tmp_path / "ending")}
    with RunCommand(tmp_path, **settings) as service:
        service.wait_for("leadtime | ready: ")
        service.wait_for("ready: predict")
        password = (tmp_path / "data" / "redis-url").read_text().split(":")[2].partition("@")[0]
        body = json.dumps(["start_daemon", str(daemon)]).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = Request(f"{service.base}/push?wait=30", body, headers)  # noqa: S310 - http
        with urlopen(request) as response:  # noqa: S310
            assert json.load(response)["status"] == "finished"
        for process in service.processes():
            try:
                shown = Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
            except PermissionError:  # only root may read it
                continue
            assert key not in shown, process
            assert password not in shown, process
        while not daemon.exists():
            time.sleep(0.01)
        started = psutil.Process(int(daemon.read_text()))
        below = [*service.processes()[1:], started]

        service.send(signal.SIGKILL)

        service.reap(PATIENCE_S)
        assert gone(below) == []


@pytest.mark.parametrize("workers", ["1", pytest.param("auto", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("nomodule:X", "ModuleNotFoundError: No module named 'nomodule'"),
        ("tests.workers.models:ImportsLate", "ModuleNotFoundError: No module named 'a_module_that_is_not_installed'"),
    ],
)
def test_a_model_that_is_not_there_is_named_in_the_last_line(
    tmp_path: Path, workers: str, model: str, reason: str
) -> None:
    with RunCommand(tmp_path, MODEL=model, WORKERS=workers) as service:
        if workers == "auto":
            service.wait_for("leadtime ", "| ready: ")
            ask(f"{service.base}/push?input=hello", "POST")
        assert service.reap(PATIENCE_S) == 1
        assert service.text.splitlines()[-1].startswith(
            "error: worker-1 can't start (exit code 2: bad setting MODEL: the model "
            f"{model} could not be loaded: {reason}"
        )


def test_a_model_that_does_not_load_is_named_when_its_worker_starts_again(tmp_path: Path) -> None:
    with RunCommand(tmp_path, MODEL="tests.workers.models:Unloadable") as service:
        service.wait_for("worker-1 ended (exit code 3: the model", "ValueError: no weights here), starts again in 1 s")
        service.wait_for("worker-1 ended (exit code 3: the model", "starts again in 2 s")

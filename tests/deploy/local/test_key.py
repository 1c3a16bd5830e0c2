"""`deploy/local key new`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from gateway.http.api_keys import digest_of
from gateway.keys.file import read_keys
from tests.processes import ROOT
from workers.webhooks.signature import is_secret

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.local.key", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_is_printed_is_a_file_of_keys_that_knows_the_key(tmp_path: Path) -> None:
    done = run("new", "team-a")
    path = tmp_path / "keys.yaml"
    path.write_text(done.stdout)
    key = done.stdout.splitlines()[0].rpartition(" ")[2]
    assert (done.returncode, set(read_keys(path))) == (0, {digest_of(key)})


def test_a_secret_of_webhooks_is_one() -> None:
    done = run("webhook-secret")
    assert (done.returncode, is_secret(done.stdout.strip())) == (0, True)


def test_other_arguments_are_refused() -> None:
    for arguments in ((), ("new",), ("new", "a b"), ("old", "a")):
        assert run(*arguments).returncode == 2

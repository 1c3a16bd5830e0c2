"""A client written for the system that this one follows: it knows three endpoints, and polls."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from typing import Any


def ask(url: str, method: str = "GET", body: object = None) -> Any:
    """The JSON document that `url` answers with. Raises HTTPError."""
    request = urllib.request.Request(url, method=method)  # noqa: S310
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.load(response)


def run(base: str, texts: list[str], patience_s: float = 60.0) -> list[dict[str, Any]]:
    """Pushes each text, polls until all are finished, and returns what `/data` shows of each, in order."""
    ids = [ask(f"{base}/push?{urllib.parse.urlencode({'input': text})}", "POST")["id"] for text in texts]
    deadline = time.monotonic() + patience_s
    for job_id in ids:
        while ask(f"{base}//status/{job_id}")["status"] != "finished":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{job_id} is not finished after {patience_s} s")
            time.sleep(0.05)
    return [ask(f"{base}/data/{job_id}") for job_id in ids]

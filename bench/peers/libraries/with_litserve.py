"""LitServe: one API process and one model process. MODEL is the class in served.py, which takes batches or does not.

BATCH is how many inputs a call takes at most, BATCH_WAIT_S how long a call waits for more. FAST takes ZeroMQ
(`fast_queue`) instead of queues of multiprocessing.
"""

# mypy: disable-error-code="import-not-found,misc,no-untyped-def"

from __future__ import annotations

import os
from typing import Any

import litserve

from bench.peers.libraries import common, served

BATCH = int(os.environ.get("BATCH", "1"))


class ServedByLitServe(litserve.LitAPI):
    """What its users write."""

    def setup(self, device: str) -> None:
        model = getattr(served, os.environ["MODEL"].rpartition(":")[2])()
        self._many = getattr(model, "predict_batch", None)
        self._one = getattr(model, "predict", lambda value: self._many([value])[0])

    def decode_request(self, request):  # LitServe reads annotations
        return request["input"]

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, value: Any) -> Any:
        return self._many(value) if BATCH > 1 else self._one(value)

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"output": output}


if __name__ == "__main__":
    api = ServedByLitServe(max_batch_size=BATCH, batch_timeout=float(os.environ.get("BATCH_WAIT_S", "0")))
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        devices=1,
        timeout=False,
        fast_queue=bool(os.environ.get("FAST")),
        disable_openapi_url=True,
    )
    options = {"num_api_servers": 1, "log_level": "warning", "generate_client_file": False}
    server.run(host=common.SERVE["host"], port=common.SERVE["port"], access_log=False, **options)

"""BentoML's `serve`: one process, which answers HTTP and runs the model in a thread."""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

from typing import Any

import bentoml

from bench.peers.libraries import common, served


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 1000}, logging={"access": {"enabled": False}})
class ServedByBentoML:
    """What its users write."""

    def __init__(self) -> None:
        self._model = served.Sleeper()

    @bentoml.api
    def predict(self, input: str) -> dict[str, Any]:  # noqa: A002
        return {"output": self._model.predict(input)}


if __name__ == "__main__":
    module = "bench.peers.libraries.with_bentoml:ServedByBentoML"
    host, port = common.SERVE["host"], str(common.SERVE["port"])
    common.run_module("bentoml", "serve", module, "--host", host, "--port", port, "--api-workers", "1")

"""All that the worker can have the model do, by the kind of the frame that asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.model_host.calls.batch_call import BatchCall
from workers.model_host.calls.batch_terms import terms_of
from workers.model_host.calls.call import Call
from workers.model_host.calls.concurrency import max_concurrency_of
from workers.model_host.calls.failures import Refusal
from workers.model_host.calls.health import HealthCheck
from workers.model_host.calls.job_link import ConnectionLink
from workers.model_host.protocol.abilities import Abilities
from workers.model_host.protocol.frames import BATCH, HEALTH, OUTCOMES, RESULT

if TYPE_CHECKING:
    from workers.model_host.calls.event_loop import EventLoop
    from workers.model_host.protocol.connection import Connection
    from workers.model_host.protocol.frames import Frame


class ModelCalls:
    """Calls the model's methods. One input goes to `predict`, or to `predict_batch` if there is no `predict`.

    Raises NotLoadable if their parameters or the model's attributes can't be served.
    """

    def __init__(
        self, model: Any, loop: EventLoop, max_result_bytes: int, max_concurrency: int, connection: Connection
    ) -> None:
        terms = terms_of(model)
        self._connection = connection
        self._batch = BatchCall(model.predict_batch, loop, max_result_bytes, connection.report) if terms.size else None
        is_single = self._batch is None or callable(getattr(model, "predict", None))
        self._single = Call(model, loop, max_result_bytes) if is_single else self._batch
        self._health = HealthCheck(model, loop)
        at_once = max_concurrency_of(model, max_concurrency)
        calls = [call for call in (self._single, self._batch) if call is not None]
        files = tuple(dict.fromkeys(name for call in calls for name in call.files))
        self._abilities = Abilities(self._health.is_there, terms.size, terms.wait_s, at_once, files)

    @property
    def max_concurrency(self) -> int:
        """How many jobs may run at the same time, each by `run_beside_others` if that is more than one."""
        return self._abilities.max_concurrency

    def told(self) -> bytes:
        """The body of the frame that says that the model is loaded."""
        assert self._single is not None  # noqa: S101
        return self._abilities.packed() + b"\n" + self._single.described().packed()

    def run(self, frame: Frame) -> tuple[bytes, bytes]:
        """The kind and the body of the answer to a job, a batch or a call of `health`. Raises what these raise."""
        if frame.kind == HEALTH:
            return RESULT, self._health.run()
        if frame.kind == BATCH:
            if self._batch is None:
                raise Refusal("TypeError", "the model has no method predict_batch")
            return OUTCOMES, self._batch.run_all(frame.body)
        assert self._single is not None  # noqa: S101
        line, _, input_json = frame.body.partition(b"\n")
        return RESULT, self._single.run(input_json, ConnectionLink(self._connection, frame.job, line)).packed()

    async def run_beside_others(self, frame: Frame, link: ConnectionLink) -> tuple[bytes, bytes]:
        """As `run`, of a job or a call of `health`, in a task of its own."""
        if frame.kind == HEALTH:
            return RESULT, await self._health.run_in_loop()
        assert isinstance(self._single, Call)  # noqa: S101
        return RESULT, (await self._single.run_beside_others(_input_of(frame), link)).packed()


def _input_of(frame: Frame) -> bytes:
    return frame.body[frame.body.index(b"\n") + 1 :]

"""One call of the model for several jobs: from their inputs to an outcome for each, as bodies of frames."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from inspect import Parameter
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from workers.job import Job, reset_current, set_alone, set_current, set_together
from workers.model_host.calls.failures import InputRefused, NotLoadable, Refusal, answer_of
from workers.model_host.calls.inputs.annotations import item_check_of
from workers.model_host.calls.inputs.binding import WholeInput
from workers.model_host.calls.inputs.faults import Faults
from workers.model_host.calls.job_link import BatchedLink
from workers.model_host.calls.outputs.encoding import encoded
from workers.model_host.calls.outputs.files import ResultFiles
from workers.model_host.calls.schemas.describing import described
from workers.model_host.protocol.batch_body import packed_answers, unpacked_inputs
from workers.model_host.protocol.frames import MAX_BODY_BYTES, RESULT
from workers.wire.decode import loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.job import JobLink
    from workers.model_host.calls.event_loop import EventLoop
    from workers.model_host.calls.inputs.annotations import Check
    from workers.model_host.calls.job_link import ConnectionLink
    from workers.model_host.protocol.batch_body import Answer
    from workers.model_host.protocol.description import Description
    from workers.wire.result import EncodedResult

_USAGE = "predict_batch takes one argument, the list of inputs: def predict_batch(self, inputs: list)"
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def check_of_inputs(predict_batch: Callable[..., Any]) -> Check | None:
    """The check of each input; None if they are taken as they are. Raises NotLoadable if it can't be served."""
    function = inspect.unwrap(predict_batch)
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(function):
        return None
    parameters = list(inspect.signature(predict_batch).parameters.values())
    if not parameters or parameters[0].kind not in _POSITIONAL:
        raise NotLoadable(_USAGE)
    if any(one.default is Parameter.empty and one.kind is not Parameter.VAR_KEYWORD for one in parameters[1:]):
        raise NotLoadable(_USAGE)
    return item_check_of(parameters[0], function.__globals__)


class BatchCall:
    """Calls `predict_batch`. `report` is told of what the model raises for one job.

    Raises NotLoadable if its parameters can't be served.
    """

    def __init__(
        self,
        predict_batch: Callable[..., Any],
        loop: EventLoop,
        max_result_bytes: int,
        report: Callable[[BaseException], None],
    ) -> None:
        self._predict_batch = predict_batch
        self._check = check_of_inputs(predict_batch)
        self._loop = loop
        self._max_bytes = max_result_bytes
        self._report = report

    @property
    def files(self) -> tuple[str, ...]:
        """See `Call.files`."""
        return () if self._check is None else WholeInput(self._check).files

    def described(self) -> Description:
        """What each input may be. The annotation of what is returned says nothing of a single result."""
        return described(None, None if self._check is None else WholeInput(self._check))

    def run(self, input_json: bytes, link: ConnectionLink) -> EncodedResult:
        """A batch of one, which knows nothing of its job; what it prints is that job's.

        Raises NotJson, InputRefused, what the model raises, and Refusal, as `Call.run` does."""
        set_alone(Job(link))
        (result,) = self._results([self._checked(loads(input_json), link)])
        return self._encoded(result, link)

    def run_all(self, body: bytes) -> bytes:
        """The outcomes of the inputs (`batch_body.packed_inputs`), in their order.

        Raises what the model raises, and Refusal if what it returned are not as many results as there are inputs.
        """
        answers: dict[int, Answer] = {}
        inputs: dict[int, Any] = {}
        links: list[JobLink] = []
        set_together(lambda: [Job(link) for link in links])
        for place, one in enumerate(unpacked_inputs(body)):
            links.append(BatchedLink(one.job_id, one.attempt, one.folder, one.traceparent))
            try:
                inputs[place] = self._checked(one.value, links[place])
            except InputRefused as error:
                answers[place] = answer_of(error)
        if inputs:
            for place, result in zip(inputs, self._results(list(inputs.values())), strict=True):
                answers[place] = self._answer(result, links[place])
        packed = packed_answers([answers[place] for place in range(len(answers))])
        if len(packed) > MAX_BODY_BYTES:
            raise Refusal("ResultTooLarge", f"the results of a batch are {len(packed)} bytes of JSON")
        return packed

    def _checked(self, value: Any, link: JobLink) -> Any:
        """The input as the annotation wants it. Raises InputRefused."""
        if self._check is None:
            return value
        faults = Faults()
        token = set_current(Job(link))  # whose folder has the files
        try:
            value = self._check(value, [], faults)
        finally:
            reset_current(token)
        faults.check()
        return value

    def _results(self, inputs: list[Any]) -> list[Any]:
        """One result for each input. Raises Refusal if the model returned anything else."""
        count = len(inputs)
        returned = self._predict_batch(inputs)
        if type(returned) is CoroutineType:
            returned = self._loop.run(returned)
        results = _items_of(returned)
        if results is None:
            raise Refusal("TypeError", f"predict_batch returned a {type(returned).__name__}, not a list of results")
        if len(results) != count:
            raise Refusal(
                "ValueError",
                f"predict_batch returned {len(results)} results for {count} inputs: it must return one for each, in "
                "their order",
            )
        return results

    def _answer(self, result: Any, link: JobLink) -> Answer:
        try:
            return RESULT, self._encoded(result, link).packed()
        except (MemoryError, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001
            if not isinstance(error, Refusal):
                self._report(error)
            return answer_of(error)

    def _encoded(self, result: Any, link: JobLink) -> EncodedResult:
        """An exception in the place of a result is raised, as if `predict` had raised it."""
        if isinstance(result, BaseException):
            raise result
        return encoded(result, self._max_bytes, ResultFiles(link.terms))


def _items_of(returned: Any) -> list[Any] | None:
    """The items of a list, another sequence, or an array whose rows are the results; None for anything else."""
    if isinstance(returned, str | bytes | bytearray):
        return None
    if isinstance(returned, Sequence) or (hasattr(returned, "tolist") and len(getattr(returned, "shape", ()))):
        return list(returned)
    return None

"""One call of the model: from a job's input to its result, as JSON."""

from __future__ import annotations

from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from workers.job import Job, reset_current, set_alone, set_current
from workers.model_host.calls.inputs.binding import binder_of
from workers.model_host.calls.inputs.job_parameter import job_parameter_of
from workers.model_host.calls.outputs.encoding import encoded
from workers.model_host.calls.outputs.files import ResultFiles
from workers.model_host.calls.outputs.yielded import Collector, yields_text
from workers.model_host.calls.schemas.describing import described
from workers.model_host.calls.trace import enter_trace, leave_trace
from workers.wire.decode import loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.model_host.calls.event_loop import EventLoop
    from workers.model_host.calls.inputs.binding import Arguments
    from workers.model_host.calls.job_link import ConnectionLink
    from workers.model_host.protocol.description import Description
    from workers.wire.result import EncodedResult

# Of exactly these types: other iterables, such as lists, are results as they are.
_UNFINISHED = frozenset((CoroutineType, GeneratorType, AsyncGeneratorType))


class Call:
    """Calls `model.predict`. How is decided here, once. Raises NotLoadable if its parameters can't be served."""

    def __init__(self, model: Any, loop: EventLoop, max_result_bytes: int) -> None:
        self._predict = model.predict
        self._bind = binder_of(self._predict)
        self._job_parameter = job_parameter_of(self._predict)
        self._is_plain = self._bind is None and self._job_parameter is None
        self._loop = loop
        self._collector = Collector(yields_text(self._predict), max_result_bytes)
        self._max_bytes = max_result_bytes

    @property
    def files(self) -> tuple[str, ...]:
        """The members of an input that may have files; an empty name is the whole input."""
        return () if self._bind is None else self._bind.files

    def described(self) -> Description:
        """What `predict` takes and returns."""
        return described(self._predict, self._bind)

    def run(self, input_json: bytes, link: ConnectionLink) -> EncodedResult:
        """Raises NotJson, InputRefused, what the model raises, and Refusal for a result that can't be handed on."""
        value = loads(input_json)
        job, files = Job(link), ResultFiles(link.terms)
        token = set_current(job)
        set_alone(job)
        trace = enter_trace(job)
        try:
            result = self._called(value, job)
            while type(result) in _UNFINISHED:
                result = self._finish(result, link.tell_partial, files)
        finally:
            leave_trace(trace)
            reset_current(token)
        return encoded(result, self._max_bytes, files)

    async def run_beside_others(self, input_json: bytes, link: ConnectionLink) -> EncodedResult:
        """As `run`, in a task of its own on the loop that runs."""
        value = loads(input_json)
        job, files = Job(link), ResultFiles(link.terms)
        set_current(job)  # for this task, and for those that it starts
        enter_trace(job)
        result = self._called(value, job)
        while type(result) in _UNFINISHED:
            if type(result) is GeneratorType:
                result = self._collector.collect(result, link.tell_partial, files)
            elif type(result) is AsyncGeneratorType:
                result = await self._collector.collect_async(result, link.tell_partial, files)
            else:
                result = await result
        return encoded(result, self._max_bytes, files)

    def _called(self, value: Any, job: Job) -> Any:
        if self._is_plain:
            return self._predict(value)
        positional, named = self._arguments(value, job)
        return self._predict(*positional, **named)

    def _arguments(self, value: Any, job: Job) -> Arguments:
        positional, named = ([value], {}) if self._bind is None else self._bind(value)
        if self._job_parameter is None:
            return positional, named
        return self._job_parameter.added(positional, named, job)

    def _finish(self, result: Any, tell: Callable[[bytes], None], files: ResultFiles) -> Any:
        """What comes of a coroutine or of a generator."""
        if type(result) is GeneratorType:
            return self._collector.collect(result, tell, files)
        if type(result) is AsyncGeneratorType:
            result = self._collector.collect_async(result, tell, files)
        return self._loop.run(result)

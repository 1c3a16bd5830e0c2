"""What a worker is told when a model does not load or does not answer."""

from __future__ import annotations

from workers.telemetry.tracebacks import MAX_MESSAGE_CHARS


class ModelCrashed(RuntimeError):  # noqa: N818
    """The process died under the job, which may be tried again. The message says how it died."""


class ModelTimedOut(ModelCrashed):
    """The job took too long, and its process was killed for it."""


class ModelRaised(RuntimeError):  # noqa: N818
    """`predict` raised `type` (a class name) with `message` (cut to 2,000 characters).

    Results that can't be handed on count as raised, too: `TypeError` for one that isn't JSON, `ResultTooLarge`.
    """

    def __init__(self, type: str, message: str) -> None:  # noqa: A002
        self.type = type
        self.message = message[:MAX_MESSAGE_CHARS]
        super().__init__(f"{self.type}: {self.message}")


class InputInvalid(ModelRaised):
    """The input does not fit the parameters of `predict`, which was not called. `type` is `InvalidInput`."""


class ModelAskedAgain(RuntimeError):  # noqa: N818
    """`predict` raised arq's Retry: the job is to be tried again after `defer_ms` ms, None for the usual pause.

    The message is the exception that led to it, empty if there was none.
    """

    def __init__(self, defer_ms: int | None, reason: str) -> None:
        self.defer_ms = defer_ms
        super().__init__(reason)


class ModelBroken(RuntimeError):  # noqa: N818
    """A new process fails with an input that the model had answered before. The message says how."""


class ModelUnavailable(RuntimeError):  # noqa: N818
    """The model is broken for the moment: the job can't be run here, and is handed back."""


class ModelLoadFailed(RuntimeError):  # noqa: N818
    """The model can't be loaded. The message is one sentence on why."""


class ModelNotFound(ModelLoadFailed):
    """There is no such model, or its module can't be imported. Another try would end in the same way."""


class ModelUnforkable(ModelLoadFailed):
    """The model is loaded, but its process can't be forked. The message says why."""


class ModelNotForked(ModelLoadFailed):
    """No process could be forked, for want of memory or because the template has died. Another try may succeed.

    The message says why, as what follows "the model's process".
    """

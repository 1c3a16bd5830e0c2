"""The inputs of a run's jobs, made from a template.

`{n}` in it is replaced by the job's number (from 1), `{service_s}` by its seconds of service, or null. What is JSON
after that is sent as JSON, anything else as a text.
"""

from __future__ import annotations

import orjson

DEFAULT = "job {n}"
DEFAULT_OF_TIMED = '{"job": {n}, "service_s": {service_s}}'


class InputError(Exception):
    """Why no input can be made of a template, in one sentence."""


class Inputs:
    """Makes inputs. Without a template: a short text; or an object with the seconds, where a trace gives them."""

    def __init__(self, template: str | None, timed: bool) -> None:
        self._template = (DEFAULT_OF_TIMED if timed else DEFAULT) if template is None else template
        first = self._filled(1, None)
        try:
            orjson.loads(first)
        except orjson.JSONDecodeError:
            self._is_json = False
        else:
            self._is_json = True
        if not first.strip() or first == '""':
            raise InputError("the input is empty: the service refuses that")

    def body(self, number: int, service_s: float | None) -> bytes:
        """The JSON document that job `number` is pushed with."""
        text = self._filled(number, service_s)
        return text.encode() if self._is_json else orjson.dumps(text)

    def _filled(self, number: int, service_s: float | None) -> str:
        seconds = "null" if service_s is None else f"{service_s:.9g}"
        return self._template.replace("{n}", str(number)).replace("{service_s}", seconds)

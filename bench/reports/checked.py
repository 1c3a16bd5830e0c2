"""A run's file, with every value in it of the kind that it has to be."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from bench.common.runs import Jobs, RunError, Samples, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.common.runs import Run


def checked(path: Path) -> Run:
    """Raises RunError if it is not a run's file, OSError if it can't be read."""
    run = read(path)
    for what, value, right in _expected(run):
        if not right(value):
            raise RunError(f"{path}: {what} is not what it has to be in a run's file")
    return run


def _expected(run: Run) -> list[tuple[str, Any, Callable[[Any], bool]]]:
    parts: list[tuple[str, Any, Callable[[Any], bool]]] = [
        ("kind", run.kind, _text),
        ("name", run.name, _text),
        ("started", run.started, _text),
        ("duration_s", run.duration_s, lambda value: _number(value) and value >= 0),
        ("parameters", run.parameters, lambda value: isinstance(value, dict)),
        ("versions", run.versions, lambda value: isinstance(value, dict)),
        ("notes", run.notes, _list_of(_text)),
        ("events", run.events, _list_of(_event)),
    ]
    kinds = {"scheduled_s": _number, "t_s": _number, "outcome": _text, "id": _or_null(_text)}
    for name, table in (("jobs", run.jobs), ("samples", run.samples)):
        parts += [
            (f"{name}.{column.name}", getattr(table, column.name), _list_of(kinds.get(column.name, _or_null(_number))))
            for column in fields(Jobs if table is run.jobs else Samples)
        ]
    return parts


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _event(value: Any) -> bool:
    return isinstance(value, dict) and _number(value.get("t_s")) and _text(value.get("what"))


def _or_null(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or kind(value)


def _list_of(kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, list) and all(map(kind, values))

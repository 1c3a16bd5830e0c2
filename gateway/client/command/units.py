"""Numbers and times as the page writes them (`gateway/page/static/dom.js`)."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NONE = "–"
# A half is rounded up, as JavaScript does it.
_THREE_DIGITS = Context(prec=3, rounding=ROUND_HALF_UP)


def number(value: float | None) -> str:
    """To three digits that count."""
    if value is None:
        return NONE
    if value != 0 and abs(value) < 0.001:
        return "< 0.001"
    if abs(value) >= 10_000:
        return f"{_rounded(value):,}".replace(",", " ")
    rounded = Decimal(value).normalize(_THREE_DIGITS)
    return f"{float(rounded):.10g}"


def duration(seconds: float | None) -> str:
    """From milliseconds to days."""
    if seconds is None:
        return NONE
    return next(text(seconds) for below_s, text in _SCALES if seconds < below_s)


def _rounded(value: float) -> int:
    return math.floor(value + 0.5)


def _few_seconds(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds == int(seconds)
        else f"{Decimal(seconds).quantize(Decimal('0.1'), ROUND_HALF_UP)} s"
    )


_SCALES: tuple[tuple[float, Callable[[float], str]], ...] = (
    (1e-9, lambda _: "0 s"),
    (0.9995, lambda seconds: f"{_rounded(seconds * 1000)} ms"),
    (10, _few_seconds),
    (120, lambda seconds: f"{_rounded(seconds)} s"),
    (7200, lambda seconds: f"{int(seconds // 60)} min {_rounded(seconds % 60)} s"),
    (172_800, lambda seconds: f"{int(seconds // 3600)} h {_rounded(seconds % 3600 / 60)} min"),
    (math.inf, lambda seconds: f"{_rounded(seconds / 86_400)} d"),
)

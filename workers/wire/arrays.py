"""numpy's arrays and scalars as JSON. numpy is never imported here: without it there are none."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import orjson

from workers.wire.limits import MAX_WARNINGS, NotJson


class PlainArray(NamedTuple):
    """An array as `value`: a fragment of JSON, or lists of Python's objects.

    `lost_count` elements became null. `lost` says of the first of them where they are, and what they were.
    """

    value: Any
    lost_count: int = 0
    lost: tuple[tuple[list[int], str], ...] = ()


def is_array(value: Any) -> bool:
    """Whether this is an array or a scalar of numpy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray | numpy.generic)


def is_like_array(value: Any) -> bool:
    """Whether numpy can make an array of this. A table does not count: the names of its columns would be lost."""
    return "numpy" in sys.modules and all(hasattr(value, name) for name in ("__array__", "shape", "dtype"))


def plain_array(value: Any) -> PlainArray:  # noqa: PLR0911
    """Makes an array, a scalar or something like it plain. Raises NotJson."""
    numpy = sys.modules["numpy"]
    if "numpy.ma" in sys.modules and isinstance(value, numpy.ma.MaskedArray):
        return PlainArray(value.tolist())  # null for what is masked
    array = numpy.asarray(value)
    match array.dtype.kind:
        case "b" | "i" | "u":
            return PlainArray(_numbers(numpy, array))
        case "f":
            return PlainArray(_numbers(numpy, array), *_lost(numpy, array, ~numpy.isfinite(array)))
        case "m":
            seconds = array / numpy.timedelta64(1, "s")
            return PlainArray(_numbers(numpy, seconds), *_lost(numpy, array, numpy.isnat(array)))
        case "M":
            return PlainArray(_times(numpy, array), *_lost(numpy, array, numpy.isnat(array)))
        case "c":
            raise NotJson("a complex number")
        case "V" if array.dtype.names:
            return PlainArray(_records(array))
        case _:
            return PlainArray(array.tolist())


def _numbers(numpy: Any, array: Any) -> orjson.Fragment:
    # orjson writes no 0-d, strided or foreign-endian arrays, and no number of more than 64 bits.
    kind = array.dtype.newbyteorder("=") if array.dtype.itemsize <= 8 else numpy.float64
    native = numpy.array(array, dtype=kind, order="C")
    return orjson.Fragment(orjson.dumps(native if native.ndim else native[()], option=orjson.OPT_SERIALIZE_NUMPY))


def _times(numpy: Any, array: Any) -> Any:
    times = array.astype("datetime64[us]")
    first, last = (numpy.datetime64(text, "us") for text in ("0001-01-01", "9999-12-31T23:59:59.999999"))
    if ((times < first) | (times > last)).any():
        raise NotJson("a time outside the years 1 to 9999")
    return times.tolist()


def _lost(numpy: Any, array: Any, is_lost: Any) -> tuple[int, tuple[tuple[list[int], str], ...]]:
    if not is_lost.any():
        return 0, ()
    places = numpy.argwhere(is_lost)
    return len(places), tuple((place.tolist(), str(array[tuple(place)])) for place in places[:MAX_WARNINGS])


def _records(array: Any) -> Any:
    if array.ndim:
        return [_records(part) for part in array]
    return {name: array[name][()] for name in array.dtype.names}

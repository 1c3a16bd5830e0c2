"""Values that orjson does not write, or not as they are, made into those that it does. The table: docs/model.md."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence, Set, ValuesView
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import orjson

from workers.wire.arrays import is_array, is_like_array, plain_array
from workers.wire.classes import dump, fields_of, is_pydantic
from workers.wire.decode import loads
from workers.wire.limits import (
    MAX_INT_DIGITS,
    MAX_NESTING,
    MAX_WARNINGS,
    TOO_DEEP,
    TOO_LONG,
    NotJson,
)
from workers.wire.pointers import pointer_of
from workers.wire.result import EncodedResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NOTHING = type(None)
_TOO_LARGE = 10**MAX_INT_DIGITS


def is_finite(value: Any) -> bool:
    """Whether a value of JSON's types holds neither NaN nor an infinity. False if it holds values of other types."""
    rest = [value]
    while rest:
        one = rest.pop()
        kind = type(one)
        if kind is float:
            if not isfinite(one):
                return False
        elif kind is dict:
            rest.extend(one.values())
        elif kind is list or kind is tuple:
            rest.extend(one)
        elif kind is not str and kind is not int and kind is not bool and kind is not _NOTHING:
            return False
    return True


class Files(Protocol):
    """What keeps the files in a value."""

    def kept(self, value: Any, path: Sequence[str | int], warn: Callable[[str], None]) -> dict[str, Any] | None:
        """The object that stands for a file; None if this is none. Raises NotJson. `path` leads to the value."""


class Plainer:
    """Makes values plain. `warnings` then says what became null or was changed, by JSON pointer (RFC 6901).

    Without `files`, paths are texts, and bytes are no JSON.
    """

    def __init__(self, files: Files | None = None) -> None:
        self._files = files
        self._warnings: list[dict[str, str]] = []
        self._more = 0
        self._path: list[str | int] = []  # to the value at hand; after an error, to its cause

    @property
    def warnings(self) -> list[dict[str, str]]:
        """At most `MAX_WARNINGS` of {"pointer", "detail"}, and one that counts the rest if there are more."""
        rest = [{"pointer": "", "detail": f"{self._more} more were changed"}] if self._more else []
        return self._warnings + rest

    def plain(self, value: Any, *place: str | int) -> Any:
        """The value as dicts, lists, texts, numbers and fragments of JSON. Raises NotJson.

        `place` is the path to the value if it is to be part of another.
        """
        self._path = list(place)
        try:
            return self._plain(value)
        except RecursionError:
            raise NotJson(TOO_DEEP) from None
        except NotJson as error:
            raise NotJson(f"{error}, at {self._pointer()}" if self._path else str(error)) from None

    # Each nested value costs one or two Python frames: `MAX_NESTING` of them are far below the recursion limit.

    def _plain(self, value: Any) -> Any:  # noqa: PLR0911
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is bool or kind is _NOTHING:
            return value
        if kind is int:
            return _integer(value)
        if kind is float:
            return value if isfinite(value) else self._null(_named(value))
        if kind is dict:
            return self._object(value)
        if kind is list or kind is tuple:
            return self._array(value)
        try:
            return self._other(value)
        except (NotJson, RecursionError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001
            # Raised by a method of the value.
            raise NotJson(f"{with_article(value)} ({type(error).__name__}: {error})") from None

    def _other(self, value: Any) -> Any:  # noqa: C901, PLR0911, PLR0912
        kind = type(value)
        if self._files is not None:
            kept = self._files.kept(value, self._path, lambda detail: self._warn(self._path, detail))
            if kept is not None:
                return kept
        match value:
            case Enum():
                return self._plain(value.value)
            case str():
                return self._text(str.__str__(value))
            case int():
                return _integer(int(value))
            case Decimal():
                return self._decimal(value)
            case date() | time():  # a datetime is a date
                return value.isoformat() if _is_time(value) else self._null("NaT")
            case timedelta():
                return value.total_seconds() if _is_time(value) else self._null("NaT")
            case UUID():
                return str(value)
            case PathLike():
                return self._plain(fspath(value))
            case bytes() | bytearray() | memoryview():
                raise NotJson(f"{kind.__name__}, to be made a text first, for example by base64")
            case orjson.Fragment():
                return self._plain(loads(orjson.dumps(value)))
            case EncodedResult():
                return self._plain(loads(value.body))
        if is_array(value):
            return self._numpy(value)
        if isinstance(value, float):
            return self._plain(float(value))
        if isinstance(value, type):
            raise NotJson(with_article(value))
        if is_pydantic(kind):
            return self._plain(dump(value, lambda unknown: orjson.loads(orjson.dumps(self._plain(unknown)))))
        if (fields := fields_of(value)) is not None:
            return self._object(fields)
        match value:
            case Mapping():
                return self._object(value)
            case Set():
                return self._array(_sorted(value))
            case Sequence() | deque() | ValuesView():
                return self._array(value)
        if callable(getattr(kind, "tolist", None)):  # tensors
            return self._plain(value.tolist())
        if is_like_array(value):
            return self._numpy(value)
        if callable(getattr(kind, "item", None)):
            return self._plain(value.item())
        raise NotJson(with_article(value))

    def _object(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        path, made = self._path, {}
        self._check_depth()
        for key, member in value.items():
            name = self._name(key)
            path.append(name)
            if name in made:
                raise NotJson("a second member of this name")
            made[name] = self._plain(member)
            path.pop()
        return made

    def _array(self, value: Iterable[Any]) -> list[Any]:
        path, made = self._path, []
        self._check_depth()
        for index, element in enumerate(value):
            path.append(index)
            made.append(self._plain(element))
            path.pop()
        return made

    def _name(self, key: Any) -> str:  # noqa: PLR0911
        """A member's name as JSON has it: numbers in their digits, the constants as JSON and JavaScript spell them."""
        if isinstance(key, Enum):
            return self._name(key.value)
        if is_array(key):
            return self._name(key.item())
        match key:
            case str():
                return self._text(str.__str__(key))
            case bool() | None:
                return orjson.dumps(key).decode()
            case int():
                return _digits(int(key))
            case float():
                return repr(float(key)) if isfinite(key) else _named(key)
            case date() | time():
                return key.isoformat()
            case Decimal() | UUID():
                return str(key)
            case PathLike() if isinstance(path := fspath(key), str):
                return self._text(path)
            case _:
                raise NotJson(f"a member whose name is {with_article(key)}")

    def _text(self, value: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins pairs of surrogates
            if whole.count("\ufffd") > value.count("\ufffd"):
                self._warn(self._path, "a lone surrogate became U+FFFD")
            return whole
        return value

    def _decimal(self, value: Decimal) -> Any:
        if not value.is_finite():
            return self._null("NaN" if value.is_nan() else _named(float(value)))
        if not isfinite(float(value)):
            raise NotJson("a Decimal that is infinite as a float")
        return orjson.Fragment(str(value))

    def _numpy(self, value: Any) -> Any:
        self._check_depth(len(value.shape))
        plain, lost_count, lost = plain_array(value)
        for place, what in lost:
            self._warn([*self._path, *place], f"{_NAMES.get(what, what)} became null")
        self._more += lost_count - len(lost)
        return plain if isinstance(plain, orjson.Fragment) else self._plain(plain)

    def _check_depth(self, levels: int = 1) -> None:
        if len(self._path) + levels > MAX_NESTING:
            raise NotJson(TOO_DEEP)

    def _null(self, what: str) -> None:
        self._warn(self._path, f"{what} became null")

    def _warn(self, path: list[str | int], detail: str) -> None:
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings.append({"pointer": pointer_of(path), "detail": detail})
        else:
            self._more += 1

    def _pointer(self) -> str:
        return pointer_of(self._path)


_NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _named(value: float) -> str:
    return _NAMES[repr(float(value))]


def with_article(value: Any) -> str:
    """What kind of value this is, in words: `an int`, `the class Model`."""
    if isinstance(value, type):
        return f"the class {value.__qualname__}"
    name = type(value).__qualname__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _integer(value: int) -> Any:
    if -(2**63) <= value < 2**64:
        return value
    return orjson.Fragment(_digits(value))


def _digits(value: int) -> str:
    if not -_TOO_LARGE < value < _TOO_LARGE:
        raise NotJson(TOO_LONG)
    return str(value)


def _is_time(value: date | time | timedelta) -> bool:
    return bool(value == value)  # noqa: PLR0124 - pandas' NaT is a datetime that is not equal to itself


def _sorted(values: Set[Any]) -> Iterable[Any]:
    """A set's elements in the order of their values, so that two equal sets are the same JSON; if they have one."""
    if not isinstance(values, set | frozenset):
        return values  # such as a dict's keys, which have an order of their own
    try:
        return sorted(values)
    except TypeError:
        return values

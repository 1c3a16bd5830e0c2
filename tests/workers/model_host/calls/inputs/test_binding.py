"""From a job's input to the arguments of `predict`: what binds, and what is said of what does not."""

from __future__ import annotations

import datetime  # noqa: TC003 - an annotation is evaluated
import functools
import inspect
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.model_host.calls import shapes
from tests.workers.model_host.tools import ONE_LOOP, make, running
from workers.model_host.calls.failures import InputRefused, NotLoadable
from workers.model_host.calls.inputs.binding import binder_of
from workers.model_host.errors import InputInvalid, ModelNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workers.model_host.tools import Run

SHAPES = "tests.workers.model_host.calls.shapes"

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
KINDS = st.sampled_from(
    [inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY]
)
NAMES = st.sampled_from(["a", "b", "text", "input", "ä", "faults", "value", "members"])
DEFAULT = "a default"


def called(predict: Callable[..., Any], value: Any) -> Any:
    bind = binder_of(predict)
    if bind is None:
        return predict(value)
    positional, named = bind(value)
    return predict(*positional, **named)


def refused(predict: Callable[..., Any], value: Any) -> str:
    with pytest.raises(InputRefused) as error:
        called(predict, value)
    assert error.value.type == "InvalidInput"
    return str(error.value)


@st.composite
def functions(draw: st.DrawFn) -> tuple[Callable[..., dict[str, Any]], set[str], set[str]]:
    """A function of several parameters that returns what it got; its names, and which of them it must get."""
    names = draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    kinds = sorted(draw(st.lists(KINDS, min_size=len(names), max_size=len(names))))
    first_default = draw(st.integers(0, len(names)))
    written, needed = [], set()
    for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        if kind is inspect.Parameter.KEYWORD_ONLY and inspect.Parameter.KEYWORD_ONLY not in kinds[:index]:
            written.append("*")
        written.append(f"{name}={DEFAULT!r}" if index >= first_default else name)
        needed |= {name} if index < first_default else set()
        if kind is inspect.Parameter.POSITIONAL_ONLY and kind not in kinds[index + 1 :]:
            written.append("/")
    scope: dict[str, Any] = {}
    members = ", ".join(f"{name!r}: {name}" for name in names)
    exec(f"def function({', '.join(written)}): return {{{members}}}", scope)  # noqa: S102
    return scope["function"], set(names), needed


@PATIENT
@given(functions(), st.data())
def test_what_binds_is_what_was_pushed(
    function: tuple[Callable[..., dict[str, Any]], set[str], set[str]], data: st.DataObject
) -> None:
    predict, names, needed = function
    value = data.draw(st.dictionaries(NAMES, VALUES, max_size=6))

    missing, unknown = needed - value.keys(), value.keys() - names
    if missing or unknown:
        told = refused(predict, value)
        assert {fault.partition(":")[0] for fault in told.split("; ")} == {f"/{name}" for name in missing | unknown}
    else:
        assert called(predict, value) == {name: value.get(name, DEFAULT) for name in names}


@PATIENT
@given(VALUES)
def test_one_parameter_that_takes_anything_gets_the_input_as_it_is(value: Any) -> None:
    def bare(input):  # type: ignore[no-untyped-def]  # noqa: A002
        return input

    def any_(input: Any = 1) -> Any:  # noqa: A002
        return input

    def object_(input: object, /) -> Any:  # noqa: A002
        return input

    for predict in (bare, any_, object_):
        assert binder_of(predict) is None
        assert called(predict, value) is value


@PATIENT
@given(st.dictionaries(st.text(), VALUES).filter(lambda value: not value.keys() & {"self", "input"}))
def test_other_members_are_taken_by_two_stars(value: dict[str, Any]) -> None:
    class Model:
        def predict(self, input: Any, **rest: Any) -> Any:  # noqa: A002
            return input, rest

    assert called(Model().predict, value | {"input": 1}) == (1, value)
    assert "/self: predict has no such parameter" in refused(Model().predict, {"input": 1, "self": 2})


@PATIENT
@given(st.integers(-(10**4299), 10**4299) | st.integers())
def test_a_checked_integer_keeps_its_digits(value: int) -> None:
    def predict(input: int) -> int:  # noqa: A002
        return input

    assert called(predict, value) == value


@pytest.mark.parametrize(
    ("model", "value", "result"),
    [
        (shapes.TakesInteger, 7, {"value": 7, "class": "int"}),
        (shapes.TakesInteger, "7", {"value": 7, "class": "int"}),
        (shapes.TakesBox, {"corner": {"x": 1}}, ["Parcel", 1, 0, 1]),
        (shapes.TakesMembers, {"text": "a", "numbers": []}, {"text": "a", "numbers": [], "top_k": 5, "raw": None}),
        (
            shapes.TakesMembers,
            {"raw": {"b": [1.5]}, "top_k": 10, "numbers": [1, "2"], "text": ""},
            {"text": "", "numbers": [1, 2], "top_k": 10, "raw": {"b": [1.5]}},
        ),
        (shapes.TakesUntyped, {"a": 1}, [1, 2, 3, {}]),
        (shapes.TakesUntyped, {"d": 5, "c": 4, "b": None, "a": []}, [[], None, 4, {"d": 5}]),
        (shapes.TakesNothing, {}, "nothing"),
        (shapes.TakesByObject, {"a": 1}, [{"a": 1}]),
    ],
)
def test_an_input_that_fits(model: type[Any], value: Any, result: Any) -> None:
    assert called(model().predict, value) == result


@pytest.mark.parametrize(
    ("model", "value", "message"),
    [
        (shapes.TakesInteger, {}, "the input: Input should be a valid integer"),
        (shapes.TakesBox, {"corner": {"y": "a"}, "size": 0},
         "/corner/x: Field required; /corner/y: Input should be a valid integer, unable to parse string as an integer; "
         "/size: Input should be greater than or equal to 1"),
        (shapes.TakesMembers, [1],
         "the input: an object is wanted with the members text, numbers, top_k, raw, and this is an array"),
        (shapes.TakesMembers, None,
         "the input: an object is wanted with the members text, numbers, top_k, raw, and this is null"),
        (shapes.TakesMembers, {"text": 1, "numbers": [1, None], "top_k": 11, "a/b": 1},
         "/text: Input should be a valid string; /numbers/1: Input should be a valid integer; "
         "/top_k: Input should be less than or equal to 10; "
         "/a~1b: predict has no such parameter, only text, numbers, top_k, raw"),
        (shapes.TakesUntyped, {"b": 1}, "/a: this member is missing"),
        (shapes.TakesNothing, {"a": 1}, "/a: predict has no such parameter"),
        (shapes.TakesNothing, "a", "the input: an object is wanted, and this is a text"),
        (shapes.TakesMembers, {"text": "", "numbers": [None] * 12},
         "".join(f"/numbers/{index}: Input should be a valid integer; " for index in range(10)) + "and 2 more"),
    ],
)  # fmt: skip
def test_an_input_that_does_not_fit(model: type[Any], value: Any, message: str) -> None:
    assert refused(model().predict, value) == message


def test_a_pointer_leads_to_the_value_and_names_no_alternatives() -> None:
    def predict(input: list[int | dict[int, datetime.date]]) -> Any:  # noqa: A002
        return input

    told = refused(predict, [1, {"2": "yesterday"}, {"x": "2026-01-02"}])
    assert {fault.partition(":")[0] for fault in told.split("; ")} == {"/1", "/1/2", "/2", "/2/x"}


def test_the_parameters_of_a_decorated_method_are_its_own() -> None:
    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    class Model:
        @decorated
        def predict(self, a: int, b: Any = 2) -> Any:
            return [a, b]

    assert called(Model().predict, {"a": "1"}) == [1, 2]
    assert "/c: " in refused(Model().predict, {"a": 1, "c": 1})


@ONE_LOOP
def test_an_input_that_does_not_fit_fails_its_job_and_says_nothing_of_the_model(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with running(make(f"{SHAPES}:TakesMembers", max_failures=2)) as host:
            for _ in range(5):
                with pytest.raises(InputInvalid, match=r"^InvalidInput: /numbers: this member is missing$") as error:
                    await host.predict(b'{"text": "a"}')
            assert error.value.type == "InvalidInput"
            assert host.count == 1
            result = await host.predict(b'{"text": "a", "numbers": [123456789012345678901234567890]}')
            assert orjson.loads(result)["text"] == "a"
            assert b"[123456789012345678901234567890]" in result

    run(scenario())
    assert "Traceback" not in capfd.readouterr().err


@ONE_LOOP
@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("TakesStarred", r"predict has a parameter \*args, but .*: name its parameters \(.*\)"),
        ("TakesTensor", r"the parameter image of predict is annotated Pixels, which .* \(Pyd.*Pixels'>\): anno"),
        ("TakesField", r"the default of the parameter top_k of predict is a FieldInfo, .*: write top_k: Annotated.*"),
        ("TakesUnresolved", r"the parameter input of predict is annotated np.ndarray, which .* \(NameError: .*\): an"),
        ("TakesTangle", r"the parameter input of predict is annotated .*Tangle.*, which .* \(Pyd.*Tangle.*\): an"),
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_served_end_the_worker(
    run: Run, capfd: pytest.CaptureFixture[str], model: str, reason: str
) -> None:
    async def scenario() -> None:
        with pytest.raises(ModelNotFound, match=reason) as error:
            await make(f"{SHAPES}:{model}").run()
        assert "\n" not in str(error.value)
        print(error.value)  # noqa: T201

    run(scenario())
    assert "Traceback" not in capfd.readouterr().err


def test_an_annotation_that_can_be_evaluated_to_nonsense_is_refused() -> None:
    def predict(input: Any) -> Any:  # noqa: A002
        return input

    predict.__annotations__["input"] = "1 +"
    with pytest.raises(NotLoadable, match="the parameter input of predict is annotated"):
        binder_of(predict)

"""A pair of Python functions as an op: what they are called with, and how their answers are read."""

from __future__ import annotations

import dataclasses
import inspect
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradaudit
from gradaudit.targets.op import OpError
from gradaudit.targets.python import PythonOp

Function = Callable[..., Any]

X, Y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
U, V = np.array([5.0, 6.0]), np.array([7.0, 8.0])


def op_of(
    forward: Function = lambda x, y: x * y,
    backward: Function = lambda u, x, y: (u * y, u * x),
    *,
    args: tuple[str, ...] = ("upstream", "x", "y"),
    returns: tuple[str, ...] = ("x", "y"),
    counted: tuple[int, ...] | None = None,
    params: Mapping[str, Any] | None = None,
) -> PythonOp:
    return PythonOp(forward, backward, params or {}, params or {}, args, returns, counted)


class TestForwardIsCalled:
    def test_with_the_inputs_by_position_in_their_order(self) -> None:
        seen: list[Any] = []
        op_of(lambda *inputs: seen.extend(inputs) or inputs[0]).forward({"y": Y, "x": X})
        assert [array is given for array, given in zip(seen, (Y, X), strict=True)] == [True, True]

    def test_with_the_params_by_keyword(self) -> None:
        op = op_of(lambda x, *, scale, shift=0.0: x * scale + shift, params={"scale": 3.0})
        assert op.forward({"x": X})[0].tolist() == [3.0, 6.0]

    def test_and_a_param_that_it_does_not_know_is_its_error(self) -> None:
        with pytest.raises(OpError, match=r"forward raised TypeError.*scale"):
            op_of(lambda x: x, params={"scale": 3.0}).forward({"x": X})


class TestBackwardIsCalledWithWhatItsArgsName:
    OUTPUTS = (np.array([9.0, 9.5]), np.array([1, 0]), np.array([2.5]))

    def seen(self, args: tuple[str, ...], upstream: tuple[Any, ...] = (U,), outputs: Any = OUTPUTS) -> list[Any]:
        seen: list[Any] = []

        def backward(*arguments: Any) -> Any:
            seen.extend(arguments)
            return X

        op_of(backward=backward, args=args, returns=("x",)).backward(upstream, {"x": X, "y": Y}, outputs)
        return seen

    @pytest.mark.parametrize(
        "args", [("upstream", "x", "y"), ("y", "upstream"), ("upstream",), ("x", "x", "upstream"), ()], ids=str
    )
    def test_in_their_order(self, args: tuple[str, ...]) -> None:
        known = {"upstream": U, "x": X, "y": Y}
        seen = self.seen(args)
        assert len(seen) == len(args)
        assert all(found is known[word] for found, word in zip(seen, args, strict=True))

    @given(k=st.integers(0, 2))
    def test_an_output_by_its_position(self, k: int) -> None:
        assert self.seen((f"output[{k}]",))[0] is self.OUTPUTS[k]

    @given(k=st.integers(0, 1))
    def test_an_upstream_by_its_position(self, k: int) -> None:
        assert self.seen((f"upstream[{k}]",), upstream=(U, V))[0] is (U, V)[k]

    def test_the_only_output_and_the_only_upstream_as_arrays(self) -> None:
        (output,) = self.seen(("output",), outputs=(X,))
        (upstream,) = self.seen(("upstream",))
        assert output is X
        assert upstream is U

    def test_several_of_them_as_tuples(self) -> None:
        (outputs,) = self.seen(("output",))
        (upstreams,) = self.seen(("upstream",), upstream=(U, V))
        assert isinstance(outputs, tuple)
        assert [found is made for found, made in zip(outputs, self.OUTPUTS, strict=True)] == [True] * 3
        assert isinstance(upstreams, tuple)
        assert [found is made for found, made in zip(upstreams, (U, V), strict=True)] == [True] * 2

    @pytest.mark.parametrize("word", ["output[3]", "upstream[1]"])
    def test_a_position_that_is_not_there_is_an_error(self, word: str) -> None:
        with pytest.raises(OpError) as caught:
            self.seen((word,))
        assert word in str(caught.value)
        assert "only" in str(caught.value)


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Record:
    y: Any
    x: Any


@dataclasses.dataclass(frozen=True)
class FrozenRecord:
    first: Any
    second: Any


Anonymous = namedtuple("Anonymous", ["first", "second"])

GRADIENTS: dict[str, Function] = {
    "a tuple": lambda x, y: (x, y),
    "a list": lambda x, y: [x, y],
    "a dict in order": lambda x, y: {"x": x, "y": y},
    "a dict out of order": lambda x, y: {"y": y, "x": x},
    "an ordered dict": lambda x, y: OrderedDict(y=y, x=x),
    "a read-only mapping": lambda x, y: MappingProxyType({"y": y, "x": x}),
    "a dict with names of its own": lambda x, y: {"grad_a": x, "grad_b": y},
    "a dict with only one of the names": lambda x, y: {"y": x, "grad_b": y},
    "a named tuple": lambda x, y: Pair(x, y),
    "a named tuple with names of its own": lambda x, y: Anonymous(x, y),
    "a dataclass out of order": lambda x, y: Record(y=y, x=x),
    "a dataclass with names of its own": lambda x, y: FrozenRecord(x, y),
}


class TestGradientsAreRead:
    @staticmethod
    def gradients(returned: Any, returns: tuple[str, ...] = ("x", "y")) -> dict[str, Any]:
        return op_of(backward=lambda u, x, y: returned, returns=returns).backward((U,), {"x": X, "y": Y}, (X * Y,))

    @pytest.mark.parametrize("form", GRADIENTS)
    def test_by_name_where_the_names_are_the_inputs_else_by_order(self, form: str) -> None:
        made = self.gradients(GRADIENTS[form](U, V))
        assert list(made) == ["x", "y"]
        assert made["x"] is U
        assert made["y"] is V

    def test_in_the_order_of_returns(self) -> None:
        made = self.gradients((U, V), returns=("y", "x"))
        assert made["y"] is U
        assert made["x"] is V

    def test_a_single_array(self) -> None:
        assert self.gradients(U, returns=("y",))["y"] is U

    @pytest.mark.parametrize("returned", [(U,), [U], {"y": U}, {"anything": U}], ids=["tuple", "list", "name", "dict"])
    def test_a_single_array_in_a_container(self, returned: Any) -> None:
        assert self.gradients(returned, returns=("y",))["y"] is U

    def test_none_stays_none_in_its_place(self) -> None:
        made = self.gradients((None, V))
        assert made["x"] is None
        assert made["y"] is V

    def test_an_array_is_one_gradient_and_not_a_list_of_its_rows(self) -> None:
        with pytest.raises(OpError, match=r"returned 1 gradients; expected 2 \(x, y\)"):
            self.gradients(np.ones((2, 3)))

    @pytest.mark.parametrize("returned", [(), (U,), (U, V, U), {"x": U}, None, [U, V, None]], ids=str)
    def test_another_number_of_them_is_an_error(self, returned: Any) -> None:
        count = len(returned) if returned is not None else 1
        with pytest.raises(OpError, match=rf"returned {count} gradients; expected 2 \(x, y\)"):
            self.gradients(returned)

    @pytest.mark.parametrize(
        "returned",
        [
            "text",
            b"bytes",
            object(),
            Record,
            np.array([None, 1.0]),
            np.array(["a"])[0],
            {1.0, 2.0},
            np.datetime64(0, "s"),
        ],
        ids=lambda returned: type(returned).__name__,
    )
    def test_what_is_no_array_of_numbers_is_an_error_that_shows_it(self, returned: Any) -> None:
        with pytest.raises(OpError, match="for x; expected an array of numbers"):
            self.gradients((returned, V))

    def test_a_long_answer_is_shown_in_part(self) -> None:
        with pytest.raises(OpError) as caught:
            self.gradients(("z" * 10_000, V))
        assert len(str(caught.value)) < 200


class TestOutputsAreRead:
    @pytest.mark.parametrize("form", GRADIENTS)
    def test_in_the_order_of_the_container(self, form: str) -> None:
        made = GRADIENTS[form](U, V)
        outputs = op_of(lambda x: made).forward({"x": X})
        out_of_order = any(word in form for word in ("out of order", "ordered dict", "read-only"))
        assert [output is given for output, given in zip(outputs, (V, U) if out_of_order else (U, V), strict=True)] == [
            True,
            True,
        ]

    @pytest.mark.parametrize(
        ("number", "dtype"),
        [
            (2.5, "float64"),
            (2.5 + 1j, "complex128"),
            (np.float16(2.5), "float16"),
            (np.float32(2.5), "float32"),
            (np.complex64(2.5), "complex64"),
            (ml_dtypes.bfloat16(2.5), "bfloat16"),
            (np.array(2.5), "float64"),
        ],
        ids=lambda value: f"{type(value).__name__} {value}",
    )
    def test_numbers_are_arrays_without_axes(self, number: Any, dtype: str) -> None:
        (output,) = op_of(lambda x: number).forward({"x": X})
        assert (output.shape, output.dtype.name, output.item()) == ((), dtype, number)

    def test_objects_that_turn_into_arrays(self) -> None:
        class Tensor:
            def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
                return np.array([1.0, 2.0])

        (output,) = op_of(lambda x: Tensor()).forward({"x": X})
        assert output.tolist() == [1.0, 2.0]

    def test_all_floating_ones_are_differentiable_by_default(self) -> None:
        op = op_of(lambda x: (x, x > 0, x.astype(int), None, x * 1j, "note", x.astype(np.float16)))
        outputs = op.forward({"x": X})
        assert len(outputs) == 7
        assert op.differentiable_outputs(outputs) == (0, 4, 6)

    def test_the_spec_s_positions_come_before_the_dtypes(self) -> None:
        op = op_of(lambda x: (x, x * 2.0, x * 3.0), counted=(2, 0))
        assert op.differentiable_outputs(op.forward({"x": X})) == (2, 0)

    @pytest.mark.parametrize(
        "returned",
        [None, "text", object(), (), (None,), np.array([None])],
        ids=["none", "text", "object", "empty", "tuple", "array"],
    )
    def test_no_floating_output_is_an_error(self, returned: Any) -> None:
        with pytest.raises(OpError, match="forward returned"):
            op_of(lambda x: returned).forward({"x": X})


class TestErrors:
    @pytest.mark.parametrize(
        "error", [ValueError("bad"), KeyError("bad"), AssertionError("bad"), RecursionError("bad")]
    )
    def test_an_exception_keeps_its_type_and_text(self, error: Exception) -> None:
        def failing(*_: Any) -> None:
            raise error

        for call, name in (
            (lambda: op_of(failing).forward({"x": X}), "forward"),
            (lambda: op_of(backward=failing).backward((U,), {"x": X, "y": Y}, (X,)), "backward"),
        ):
            with pytest.raises(OpError) as caught:
                call()
            first, where = str(caught.value).splitlines()
            assert first.startswith(f"{name} raised {type(error).__name__}: ")
            assert "bad" in first
            assert where.startswith(f"  {__file__}:")
            assert where.endswith("in failing: raise error")

    def test_an_exception_without_text_is_named(self) -> None:
        def failing(x: Any) -> None:
            raise NotImplementedError

        with pytest.raises(OpError, match=r"^forward raised NotImplementedError\n"):
            op_of(failing).forward({"x": X})

    def test_ctrl_c_is_not_an_op_s_error(self) -> None:
        def interrupted(x: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            op_of(interrupted).forward({"x": X})


def test_the_op_s_signature_is_that_of_the_protocol() -> None:
    from gradaudit.targets.op import Op

    for method in ("forward", "backward", "differentiable_outputs"):
        theirs, ours = (inspect.signature(getattr(kind, method)).parameters for kind in (Op, PythonOp))
        assert list(theirs) == list(ours)


class TestSeveralOutputsThatNobodyChoseFrom:
    """Where backward does not know that its upstream is a tuple, the error says what to write."""

    @staticmethod
    def fails(**settings: Any) -> str:
        named = {"args": ("upstream", "x"), "returns": ("x",)} | settings
        op = op_of(lambda x: (x, 2 * x), lambda u, x: (X, X, X), **named)
        upstream = (U,) if settings.get("counted") else (U, V)
        with pytest.raises(OpError) as caught:
            op.backward(upstream, {"x": X}, op.forward({"x": X}))
        return str(caught.value)

    def test_they_are_counted_and_the_key_is_given(self) -> None:
        said = self.fails()
        assert "backward returned 3 gradients; expected 1 (x)" in said
        assert "forward returned 2 floating outputs, so upstream is a tuple of as many" in said
        assert "write 'outputs: {differentiable: [0]}' under target" in said

    def test_a_gradient_of_another_shape_is_told_of_with_the_key(self) -> None:
        """A tuple of arrays in an expression of NumPy's is one array with an axis more."""
        made = gradaudit.op(lambda x: (x * x, x**3), lambda u, x: u * x)
        (result,) = gradaudit.check(made, X).results
        assert "the gradient of x has shape (2, " in result.message
        assert "write 'outputs: {differentiable: [0]}' under target" in result.message

    def test_nothing_of_it_where_the_spec_chose(self) -> None:
        assert "outputs: {differentiable" not in self.fails(counted=(0,))
        assert "outputs: {differentiable" not in self.fails(args=("upstream[0]", "x"))

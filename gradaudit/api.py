"""Audits from Python: an op at hand, arrays at hand, in this process, without any output of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from numpy.typing import ArrayLike

from gradaudit.drop_in.arguments import signature_names
from gradaudit.drop_in.recognise import recognised
from gradaudit.drop_in.settings import (
    function_of,
    keywords_of,
    names_listed,
    positions_listed,
    seed_number,
    tolerance_number,
)
from gradaudit.engine.audit import audit_case
from gradaudit.framework_ops import with_parameters_constant
from gradaudit.report.mismatch import case_blocks
from gradaudit.report.visible import visible
from gradaudit.results import Result, Verdict, worst
from gradaudit.spec.case import Case, Expectation, Location, Method, Tolerance
from gradaudit.spec.dtypes import DEFAULT_DTYPE, DEFAULT_TOLERANCES, spacing
from gradaudit.spec.errors import nearest
from gradaudit.spec.given import given_array, given_inputs
from gradaudit.spec.mistakes import Mistakes
from gradaudit.spec.op_targets import HeldTarget, ProcessTarget
from gradaudit.spec.python_target import check_words
from gradaudit.targets.foreign import as_numpy
from gradaudit.targets.generators import restored
from gradaudit.targets.op import Op
from gradaudit.targets.process import open_process
from gradaudit.targets.process_op import ProcessOp
from gradaudit.targets.python import open_functions

if TYPE_CHECKING:
    from gradaudit.explained import Explained
    from gradaudit.repair.repairs import Repairs

MAX_ROWS = 10
"""Rows of a mismatch table, as many as the terminal's report shows."""

MENDING = "<p>To search for a repair: <code>.explain(repair_seconds=10)</code> of this audit.</p>"
"""What a notebook says below what is wrong."""


def op(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *,
    args: Sequence[str] | None = None,
    returns: Sequence[str] | None = None,
    outputs: Sequence[int] | None = None,
    name: str | None = None,
) -> HeldTarget:
    """Return the op of a pair of Python functions on NumPy arrays.

    Args:
        forward: called with the inputs by position and the params by keyword.
        backward: called with what ``args`` names, and those params that its signature accepts by keyword.
        args: what backward takes, in order: ``upstream``, ``output``, ``output[k]`` or an input's name; default: the
            upstream gradient, then all inputs.
        returns: the inputs whose gradients it returns, in order; default: the differentiable ones.
        outputs: positions of forward's outputs that count; default: all floating ones.
        name: what reports call the op; default: forward's own name.

    Raises:
        TypeError: where a function cannot be called, or a list is none.
        ValueError: by ``check``, where ``args`` or ``returns`` names what is not there.

    """
    function_of("forward", forward), function_of("backward", backward)
    words, returned = names_listed("args", args), names_listed("returns", returns)
    counted = positions_listed("outputs", outputs)

    def opened(case: Case) -> Op:
        inputs = tuple(made.name for made in case.inputs)
        differentiable = tuple(made.name for made in case.inputs if made.differentiable)
        check_words(mistakes := Mistakes(), (), words, returned, inputs)
        for mistake in mistakes:
            raise ValueError(f"{mistake.path[0]}: {mistake}")
        return open_functions(
            forward,
            backward,
            case.params,
            args=("upstream", *inputs) if words is None else words,
            returns=differentiable if returned is None else returned,
            counted=counted,
        )

    return HeldTarget(opened, name or str(getattr(forward, "__name__", "op")), takes=signature_names(forward))


def process_op(
    command: Sequence[str | PathLike[str]], op: str, *, outputs: Sequence[int] | None = None, timeout: float = 30.0
) -> HeldTarget:
    """Return an op that a child process computes, in any language; ``gradaudit guide process`` says how.

    Args:
        command: the program and its arguments, as seen from the current folder.
        op: the name that the process knows the op by.
        outputs: positions of forward's outputs that count; default: what the process says, else all floating ones.
        timeout: seconds that the process may take for an answer.

    Raises:
        TypeError: where the command is no list of texts and paths.
        ValueError: where it is empty, or there is no time for an answer.

    """
    if isinstance(command, str) or not all(isinstance(word, (str, PathLike)) for word in command):
        raise TypeError(f"command: expected a list of the program and its arguments, found {command!r}")
    if not command:
        raise ValueError("command: expected a list of the program and its arguments, found an empty one")
    if not timeout > 0:
        raise ValueError(f"timeout: expected a number greater than 0, found {timeout}")
    counted = positions_listed("outputs", outputs)
    target = ProcessTarget(tuple([fspath(word) for word in command]), op, timeout, counted, Path.cwd())
    return HeldTarget(lambda case: open_process(target, case), op, ProcessOp.close)


class GradientMismatch(AssertionError):  # noqa: N818 (named as what it says in a test's report)
    """An audit did not pass; its text is the report, with a repair where one was found; ``audit`` holds the results."""

    def __init__(self, audit: Audit, repair: str = "") -> None:
        super().__init__("\n\n".join(filter(None, (audit.report, repair))))
        self.audit = audit


@dataclass(frozen=True, repr=False)
class Audit:
    """What an audit found; true where it passed, and false where it did not.

    Attributes:
        results: one for each differentiable input, in their order; a module's parameters after them.
        shapes: the shape of each input.
        check_evaluations: forwards spent on other checks than the gradient's.
        case: what was audited: inputs, tolerance, upstream.

    """

    results: tuple[Result, ...]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    check_evaluations: int = 0
    case: Case | None = field(default=None, compare=False)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the results."""
        return worst([result.verdict for result in self.results])

    @property
    def report(self) -> str:
        """What the terminal says of the results that do not pass, else a line for each input."""
        blocks = case_blocks(self.results, MAX_ROWS)
        passed = [_line(result) for result in self.results]
        return "\n\n".join("\n".join(map(visible, block)) for block in blocks) or "\n".join(passed)

    def assert_ok(self, *, allow_inconclusive: bool = False, repair_seconds: float = 0.0) -> None:
        """Do nothing where the audit passes.

        Args:
            allow_inconclusive: whether what cannot be decided is no failure.
            repair_seconds: time for a search for the edit that repairs a wrong backward, which the error then shows; it
                tries changed copies of backward in this process; 0 for none.

        Raises:
            GradientMismatch: where it does not pass, or cannot be decided.

        """
        __tracebackhide__ = True
        if self.verdict is not Verdict.PASS and not (allow_inconclusive and self.verdict is Verdict.INCONCLUSIVE):
            from gradaudit.report.repairs import repair_lines

            found = self._repairs(repair_seconds)
            raise GradientMismatch(self, "\n".join(repair_lines(found)) if found else "")

    def _repairs(self, seconds: float) -> Repairs | None:
        from gradaudit.repair.in_worker import search_repairs

        if not seconds or self.case is None or self.verdict not in (Verdict.FAIL, Verdict.ERROR):
            return None
        with restored():
            return search_repairs((self.case,), list(self.results), seconds=seconds, jobs=0)

    def explain(self, *, repair_seconds: float = 0.0) -> Explained:
        """Explain what was found, as ``gradaudit explain`` does, in this process: print it, or let a notebook show it.

        The op is called again for its step-size curves.

        Args:
            repair_seconds: time for a search for the edit that mends a wrong backward, which tries changed copies of it
                in this process; 0 for none.

        Raises:
            ValueError: where the audit was not made by ``check``.

        """
        from gradaudit.explain.explain import explain_results
        from gradaudit.explained import Explained

        if self.case is None:
            raise ValueError("this audit was not made by gradaudit.check: there is no case to explain")
        with restored():
            explanation = explain_results([self.case], [(self.case, result) for result in self.results], jobs=0)
        return Explained(replace(explanation, repairs=self._repairs(repair_seconds)))

    def __bool__(self) -> bool:
        """Whether every gradient passed: what cannot be decided did not."""
        return self.verdict is Verdict.PASS

    def __repr__(self) -> str:
        found = ", ".join(f"{result.input}: {result.verdict}" for result in self.results)
        return f"<Audit of {self.results[0].op}: {found}>"

    def __str__(self) -> str:
        return self.report

    def _repr_html_(self) -> str:
        from gradaudit.report.notebook import results_html

        wrong = self.case is not None and self.verdict in (Verdict.FAIL, Verdict.ERROR)
        return results_html(self.results, self.shapes, MAX_ROWS) + (MENDING if wrong else "")


def _line(result: Result) -> str:
    looked = f"{result.checked:,} of {result.size:,} indices, {result.method}"
    seen = f"a relative error of {result.resolution:.1e} would have been reported"
    return f"{result.op} ({result.dtype}): {result.verdict} w.r.t. {result.input}: {looked}; {seen}"


def check(
    op: HeldTarget | Op | Callable[..., Any],
    inputs: Mapping[str, Any] | Sequence[Any] | ArrayLike,
    *,
    params: Mapping[str, Any] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    upstream: str | ArrayLike = "random",
    method: Method = "auto",
    seed: int = 0,
    differentiable: Collection[str] | None = None,
) -> Audit:
    """Audit an op at given inputs, as ``gradaudit run`` audits one at those that it draws.

    Args:
        op: what ``gradaudit.op``, ``gradaudit.torch_op`` and the like return; a function, ``Function.apply`` or module
            of a framework; or any object with the methods of the ``Op`` protocol.
        inputs: name to array of NumPy or of a framework, in the order in which forward takes them; or what it takes by
            position, as a tuple or, where that is one array, as it is. They are copied.
        params: keyword arguments of forward, and of backward where it takes them.
        rtol: relative tolerance; default: the dtype's.
        atol: absolute tolerance; default: the dtype's.
        upstream: ``random``, ``ones``, or an array of the output's shape.
        method: ``auto``, ``exhaustive`` or ``search``.
        seed: what random upstreams and directions depend on.
        differentiable: names of the inputs that gradients are expected for; default: all floating ones, and the
            parameters of a module, which are constants otherwise unless they are among the inputs.

    Returns:
        The audit, whatever it found: nothing that the op does raises here.

    Raises:
        TypeError: where an input is no array of numbers, an argument is of another type than it should be, or nothing
            says what the backward of ``op`` is.
        ValueError: where an argument is none of those that there are.

    """
    op, inputs = recognised(op, inputs)
    params = keywords_of("params", params)
    target = op if isinstance(op, HeldTarget) else _held(op, params)
    differentiable = names_listed("differentiable", differentiable)
    if differentiable is not None:
        target = with_parameters_constant(target)
    arrays = {name: array_of(name, given) for name, given in keywords_of("inputs", inputs).items()}
    made = given_inputs(arrays, differentiable, needed=not target.brings_inputs)
    dtype = max((one.dtype for one in made if one.differentiable), key=spacing, default=DEFAULT_DTYPE)
    case = Case(
        op=target.name,
        module="",
        name="default",
        dtype=dtype,
        target=target,
        inputs=made,
        params=params,
        tolerance=tolerance_of(rtol, atol, dtype),
        upstream=_upstream(upstream),
        step=None,
        method=_one_of("method", method, get_args(Method)),
        seed=seed_number(seed),
        expect=Expectation(),
        notes="",
        location=Location(Path(), 0, 0),
    )
    with restored():
        audited = audit_case(case)
    results = tuple(replace(result, location="") for result in audited.results)
    shapes = {**{one.name: one.shape for one in made}, **audited.shapes}
    return Audit(results, shapes, audited.check_evaluations, case)


def _held(op: Any, params: Mapping[str, Any] | None) -> HeldTarget:
    """Return a target for an op whose params are bound already."""
    if params:
        raise ValueError(f"params: {type(op).__name__} has its params bound already")
    return HeldTarget(lambda case: op, type(op).__name__)


def tolerance_of(rtol: float | None, atol: float | None, dtype: str) -> Tolerance | None:
    """Return the tolerance that is asked for, the dtype's default in what is not; None where nothing is.

    Raises:
        TypeError: where one is no number.
        ValueError: where a number is none that a tolerance can have.

    """
    if rtol is None and atol is None:
        return None
    default = DEFAULT_TOLERANCES[dtype]
    return Tolerance(
        default.rtol if rtol is None else tolerance_number("rtol", rtol),
        default.atol if atol is None else tolerance_number("atol", atol),
    )


def _upstream(given: str | ArrayLike) -> Any:
    if isinstance(given, str):
        return _one_of("upstream", given, ("random", "ones"))
    return given_array("upstream", array_of("upstream", given)).copy()


def array_of(name: str, given: Any) -> Any:
    """Return an array of a framework as NumPy's.

    Raises:
        TypeError: where NumPy has nothing like it.

    """
    try:
        return as_numpy(given)
    except Exception as error:  # whatever a framework raises for what NumPy has not
        raise TypeError(f"{name}: expected an array, found {type(given).__name__}: {error}") from None


def _one_of(name: str, value: str, known: Sequence[str]) -> Any:
    if value not in known:
        raise ValueError(f"{name}: found {value!r}, expected one of {', '.join(known)}{nearest(str(value), known)}")
    return value

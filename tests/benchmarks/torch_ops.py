"""PyTorch's own database of ops, audited sample by sample beside its slow gradcheck.

    python tests/benchmarks/torch_ops.py [--first N] [--samples 3] [--method search] [--json FILE] [--without-gradcheck]

Every op of ``op_db`` that supports float64 and autograd is audited at its first samples, in the variant that takes the
sample's tensors as inputs. A gradient of PyTorch's is taken to be right: what is not passed is printed, with what
``torch.autograd.gradcheck`` says of the same function and inputs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_unflatten

from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict, worst
from gradaudit.spec.case import Case, Expectation, Input, Location, Method
from gradaudit.targets import TARGET_KINDS, TargetKind
from gradaudit.targets.torch import torch_op

MOST_ELEMENTS = 300
"""Elements of a sample, inputs and outputs, above which slow gradcheck is not asked: it would take minutes."""


@dataclass(frozen=True)
class Sample:
    """A function of tensors that require a gradient, and their values."""

    name: str
    function: Callable[..., Any]
    tensors: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Outcome:
    """What was said of a sample, in how many seconds."""

    name: str
    verdict: str
    message: str
    seconds: float


def samples(op: Any, most: int) -> Iterator[Sample]:
    """Yield the first samples of an op that have anything to differentiate, as functions of what requires grad."""
    count = 0
    for sample in op.sample_inputs("cpu", torch.float64, requires_grad=True):
        flat, tree = tree_flatten((sample.input, sample.args, sample.kwargs))
        places = [k for k, leaf in enumerate(flat) if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
        places = [k for k in places if flat[k].layout is torch.strided]
        if not places:
            continue

        def function(*tensors: torch.Tensor, flat=flat, tree=tree, places=places, sample=sample) -> Any:
            given = list(flat)
            for place, tensor in zip(places, tensors, strict=True):
                given[place] = tensor
            first, args, kwargs = tree_unflatten(given, tree)
            made = op.gradcheck_wrapper(op.get_op(), first, *args, **kwargs)
            return sample.output_process_fn_grad(made)

        name = f"{op.name}{'.' + op.variant_test_name if op.variant_test_name else ''}[{count}]"
        yield Sample(name, function, tuple(flat[k].detach().clone() for k in places))
        count += 1
        if count == most:
            return


@dataclass(frozen=True)
class TorchFunctionTarget:
    """A target that holds its function."""

    function: Callable[..., Any]


def case_of(sample: Sample, method: Method = "auto") -> Case:
    """Return the case of a sample: its own values, whatever they are."""
    inputs = tuple(
        Input(f"t{k}", tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), values=tensor.tolist())
        for k, tensor in enumerate(sample.tensors)
    )
    return Case(
        op=sample.name,
        module="torch",
        name="default",
        dtype="float64",
        target=TorchFunctionTarget(sample.function),  # type: ignore[arg-type]
        inputs=inputs,
        params={},
        tolerance=None,
        upstream="random",
        step=None,
        method=method,
        seed=0,
        expect=Expectation(),
        notes="",
        location=Location(Path("op_db"), 1, 1),
    )


def audited(sample: Sample, method: Method = "auto") -> Outcome:
    """Audit a sample as ``gradaudit run`` audits a case."""
    started = time.perf_counter()
    kind = TargetKind(lambda target, case: torch_op(target.function, seed=case.seed), lambda _: {})
    with patch.dict(TARGET_KINDS, {TorchFunctionTarget: kind}):
        try:
            audit = audit_case(case_of(sample, method))
        except Exception as error:
            return Outcome(sample.name, "crash", f"{type(error).__name__}: {error}", time.perf_counter() - started)
    verdict = worst([result.verdict for result in audit.results])
    gravest = [result for result in audit.results if result.verdict is verdict]
    codes = sorted({finding.code for result in audit.results for finding in result.findings})
    said = "; ".join(filter(None, [gravest[0].message if verdict is not Verdict.PASS else "", ", ".join(codes)]))
    return Outcome(sample.name, str(verdict), said, time.perf_counter() - started)


def gradchecked(sample: Sample) -> Outcome:
    """Ask slow gradcheck about a sample, the generator seeded before every call as it is for the audit."""
    started = time.perf_counter()
    tensors = [tensor.clone().requires_grad_() for tensor in sample.tensors]

    def function(*given: torch.Tensor) -> Any:
        torch.manual_seed(0)
        made = sample.function(*given)
        flat = [leaf for leaf in tree_flatten(made)[0] if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
        return tuple(flat)

    try:
        elements = sum(tensor.numel() for tensor in (*tensors, *function(*tensors)))
        if elements > MOST_ELEMENTS:
            return Outcome(sample.name, "not asked", f"{elements} elements", 0.0)
        torch.autograd.gradcheck(function, tensors, fast_mode=False)
    except Exception as error:
        return Outcome(sample.name, "fail", str(error).splitlines()[0], time.perf_counter() - started)
    return Outcome(sample.name, "pass", "", time.perf_counter() - started)


def auditable_ops() -> list[Any]:
    """Return the ops of the database that autograd supports in float64."""
    return [op for op in op_db if op.supports_autograd and torch.float64 in op.supported_dtypes("cpu")]


def main() -> None:
    """Audit, print what was not passed, and count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", type=int, default=0, help="ops; 0 for all")
    parser.add_argument("--skip", type=int, default=0, help="ops left out at the start")
    parser.add_argument("--only", default="", help="ops whose name contains this")
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--method", choices=get_args(Method), default="auto", help="search takes the fewest forwards")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--without-gradcheck", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = [op for op in auditable_ops() if args.only in op.name][args.skip :]
    chosen = chosen[: args.first] if args.first else chosen
    pairs: list[tuple[Outcome, Outcome | None]] = []
    for op in chosen:
        try:
            drawn = list(samples(op, args.samples))
        except Exception as error:  # samples that this build of torch cannot make
            print(f"{op.name}: no samples: {type(error).__name__}: {str(error).splitlines()[0]}", flush=True)
            continue
        for sample in drawn:
            ours = audited(sample, args.method)
            theirs = None if args.without_gradcheck else gradchecked(sample)
            pairs.append((ours, theirs))
            if ours.verdict != "pass" or (theirs and theirs.verdict == "fail"):
                said = f"  | gradcheck: {theirs.verdict} {theirs.message}" if theirs else ""
                print(f"{ours.name}: {ours.verdict} {ours.message.partition(chr(10))[0]}{said}", flush=True)
    for title, outcomes in (("gradaudit", [ours for ours, _ in pairs]), ("gradcheck", [b for _, b in pairs if b])):
        counts = Counter(outcome.verdict for outcome in outcomes)
        print(f"{title}: {dict(counts)}, {sum(outcome.seconds for outcome in outcomes):.1f} s")
    asked = [(ours.seconds, theirs.seconds) for ours, theirs in pairs if theirs and theirs.verdict != "not asked"]
    if asked:
        ours_took, theirs_took = map(sum, zip(*asked, strict=True))
        print(f"on the {len(asked)} samples that both were asked: {ours_took:.1f} s and {theirs_took:.1f} s")
    if args.json:
        rows = [{"ours": ours.__dict__, "gradcheck": theirs.__dict__ if theirs else None} for ours, theirs in pairs]
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""PyTorch's own database of ops, audited sample by sample beside its slow gradcheck.

    python tests/benchmarks/torch_ops.py [--first N] [--only NAME] [--samples 3] [--method search] [--json FILE]
        [--output FILE]

Every op of ``op_db`` that supports float64 and autograd is audited at its first samples, in the variant that takes the
sample's tensors as inputs, and so it is by slow ``torch.autograd.gradcheck``, which gives up where it takes too long.
What both do not pass is printed, and in the report it stands with the reason. Times are the processor's, of one thread.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch_ops_report import Outcome, Pair, differs, report, unexplained

import gradaudit
from gradaudit.spec.case import Method

PATIENCE = 10.0
"""Seconds of processor time after which gradcheck gives a sample up: the large ones would take it minutes or hours."""

MOST_BYTES = 2**32
"""Size of a Jacobian that gradcheck is not even asked to make: it holds two or three of them."""


class GaveUpError(Exception):
    """Gradcheck took too long, or would take too much memory."""


@dataclass(frozen=True)
class Sample:
    """A function of tensors that require a gradient, and their values."""

    name: str
    function: Callable[..., Any]
    tensors: tuple[torch.Tensor, ...]


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


def audited(sample: Sample, method: Method = "auto") -> Outcome:
    """Audit a sample at its own values, whatever they are."""
    started = time.process_time()
    op = gradaudit.torch_op(sample.function, name=sample.name)
    try:
        audit = gradaudit.check(op, {f"t{k}": tensor for k, tensor in enumerate(sample.tensors)}, method=method)
    except Exception as error:
        return Outcome(sample.name, "crash", f"{type(error).__name__}: {error}", time.process_time() - started)
    gravest = [result for result in audit.results if result.verdict is audit.verdict]
    codes = sorted({finding.code for result in audit.results for finding in result.findings})
    said = "; ".join(filter(None, [gravest[0].message if audit.verdict != "pass" else "", ", ".join(codes)]))
    return Outcome(sample.name, str(audit.verdict), said, time.process_time() - started)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Raise an error in what takes more processor time than that."""

    def give_up(*_: object) -> None:
        raise GaveUpError(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def gradchecked(sample: Sample) -> Outcome:
    """Ask slow gradcheck about a sample, the generator seeded before every call as it is for the audit."""
    started = time.process_time()
    tensors = [tensor.clone().requires_grad_() for tensor in sample.tensors]

    def function(*given: torch.Tensor) -> Any:
        torch.manual_seed(0)
        made = sample.function(*given)
        flat = [leaf for leaf in tree_flatten(made)[0] if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
        return tuple(flat)

    try:
        with patience(PATIENCE):
            rows, columns = (sum(tensor.numel() for tensor in made) for made in (tensors, function(*tensors)))
            if rows * columns * tensors[0].element_size() > MOST_BYTES:
                raise GaveUpError(f"a Jacobian of {rows:,} x {columns:,}")
            torch.autograd.gradcheck(function, tensors, fast_mode=False)
    except GaveUpError as error:
        return Outcome(sample.name, "gave up", str(error), time.process_time() - started)
    except Exception as error:
        return Outcome(sample.name, "fail", str(error).splitlines()[0], time.process_time() - started)
    return Outcome(sample.name, "pass", "", time.process_time() - started)


def auditable_ops() -> list[Any]:
    """Return the ops of the database that autograd supports in float64."""
    return [op for op in op_db if op.supports_autograd and torch.float64 in op.supported_dtypes("cpu")]


def compared(ops: Sequence[Any], most: int, method: Method) -> tuple[list[Pair], dict[str, str]]:
    """Audit and gradcheck the first samples of ops, and print what both do not pass; tell which ops have none."""
    pairs: list[Pair] = []
    unmade: dict[str, str] = {}
    for op in ops:
        try:
            drawn = list(samples(op, most))
        except Exception as error:  # samples that this build of torch cannot make
            unmade[op.name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            continue
        for sample in drawn:
            pair = audited(sample, method), gradchecked(sample)
            pairs.append(pair)
            if differs(pair):
                ours, theirs = pair
                print(
                    f"{ours.name}: {ours.verdict} {ours.line} | gradcheck: {theirs.verdict} {theirs.line}", flush=True
                )
    return pairs, unmade


def main() -> int:
    """Compare, write what is asked for, and return 1 where a difference has no known reason."""
    parser = argparse.ArgumentParser(description="Audit PyTorch's database of ops.")
    parser.add_argument("--first", type=int, default=0, help="ops; 0 for all")
    parser.add_argument("--skip", type=int, default=0, help="ops left out at the start")
    parser.add_argument("--only", default="", help="ops whose name contains this")
    parser.add_argument("--samples", type=int, default=3, help="of each op")
    parser.add_argument("--method", choices=get_args(Method), default="auto", help="search takes the fewest forwards")
    parser.add_argument("--json", type=Path, help="every outcome, for tools")
    parser.add_argument("--output", type=Path, help="the report")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    chosen = [op for op in auditable_ops() if args.only in op.name][args.skip :]
    pairs, unmade = compared(chosen[: args.first] if args.first else chosen, args.samples, args.method)
    if args.json:
        rows = [{"ours": ours.__dict__, "gradcheck": theirs.__dict__} for ours, theirs in pairs]
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    if args.output:
        args.output.write_text("\n".join(report(pairs, unmade, PATIENCE)) + "\n", encoding="utf-8")
    left = unexplained(pairs)
    print(f"{len(pairs)} samples, {sum(map(differs, pairs))} not passed by both, {len(left)} of them unexplained")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())

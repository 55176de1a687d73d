"""The report on PyTorch's database of ops: how gradaudit and gradcheck fare, and why they differ where they do."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import torch


@dataclass(frozen=True)
class Outcome:
    """What was said of a sample, in how many seconds of processor time."""

    name: str
    verdict: str
    message: str
    seconds: float

    @property
    def line(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0].strip()


Pair = tuple[Outcome, Outcome]
"""What gradaudit and gradcheck said of a sample."""

OURS = ("pass", "inconclusive", "fail", "error", "crash")
THEIRS = ("pass", "fail", "gave up")


@dataclass(frozen=True)
class Reason:
    """Why samples whose names match end with other verdicts than two passes."""

    names: tuple[str, ...]
    ours: tuple[str, ...]
    why: str

    def explains(self, ours: Outcome) -> bool:
        """Whether it is the reason for what was said of a sample."""
        op = ours.name.rpartition("[")[0]
        return ours.verdict in self.ours and any(fnmatch(op, name) or fnmatch(ours.name, name) for name in self.names)


REASONS = (
    Reason(
        ("nn.functional.ctc_loss",),
        ("inconclusive",),
        "one gradient in thirty is below 1e-13 of the others, where rounding in forward leaves nothing to be said: "
        "`below-noise`",
    ),
    Reason(
        ("normal", "normal.number_mean"),
        ("fail",),
        "what is drawn depends on the mean and the deviation that are given (`mean + deviation * noise`, the noise the "
        "same at every call), and PyTorch defines its gradient as zero: `missing-gradient`",
    ),
    Reason(
        ("nn.functional.max_unpool?d",),
        ("fail",),
        "the samples' indices occur more than once, so that one value overwrites another, and the gradient of what was "
        "overwritten is not zero: `wrong-subset` names those places",
    ),
    Reason(
        ("as_strided_scatter",),
        ("fail",),
        "PyTorch's gradient of the input is the upstream where the output was overwritten, and zero where it was not: "
        "the wrong way round",
    ),
    Reason(
        ("sparse.sampled_addmm",),
        ("error",),
        "the output is sparse, for which neither asks an upstream",
    ),
    Reason(
        ("chalf",),
        ("error",),
        "the output is complex32, which NumPy does not have; gradcheck's steps vanish in its rounding",
    ),
    Reason(
        ("__rpow__",),
        ("error",),
        "a negative number to a power that is no integer: the output is not a number",
    ),
    Reason(
        ("as_strided.partial_views[[]2[]]",),
        ("error",),
        "the sample's input is a view into larger memory and the op reads beyond the view: copied, as both copy it, it "
        "has nothing there",
    ),
    Reason(
        ("float", "half", "bfloat16", "cfloat"),
        ("pass",),
        "the output is in float32 or less, whose rounding is larger than what gradcheck's step of 1e-6 changes; here "
        "the steps and tolerances follow from the dtype",
    ),
    Reason(
        ("bfloat16", "half"),
        ("inconclusive",),
        "the output is rounded to 8 or 11 bits, so that its differences cannot tell an error of 5%",
    ),
    Reason(
        ("native_group_norm",),
        ("pass",),
        "PyTorch returns a wrong gradient for the second and third output, the mean and the inverse deviation, where "
        "their upstream comes without the first's; here all outputs have an upstream at once, and it is right then",
    ),
    Reason(
        ("cov",),
        ("pass",),
        "the observations' weights are in float32, where gradcheck's step of 1e-6 is lost in rounding",
    ),
    Reason(
        ("nn.functional.hinge_embedding_loss", "nn.functional.cosine_embedding_loss"),
        ("inconclusive",),
        "labels of exactly 1 and -1 are inputs that require a gradient, and the loss at a label that is neither is "
        "another: forward jumps at the very point, to the same value on both sides, which a central difference skips. "
        "The finding `discontinuity` says so; there is no gradient to compare with",
    ),
    Reason(
        ("torch.ops.aten._safe_softmax.default",),
        ("inconclusive",),
        "elements are minus infinity, and stay that whatever is added to them: gradcheck divides their change of zero "
        "by its step, here nothing was tested at them. All finite elements are right",
    ),
    Reason(
        ("linalg.norm.subgradients_at_zero[[]1[]]",),
        ("inconclusive",),
        "the count of elements that are not zero, at the zero vector: a jump on both sides, by as much",
    ),
    Reason(
        ("round.decimals_3",),
        ("inconclusive",),
        "stairs of a thousandth: the gradient is zero where one stands and one from afar, and a forward that computes "
        "in few digits looks the same, so that a claim of zero is neither right nor wrong beyond doubt",
    ),
    Reason(
        (
            "nn.functional.normalize[[]2[]]",
            "corrcoef[[]2[]]",
            "nn.functional.layer_norm[[]2[]]",
            "nn.functional.rms_norm[[]2[]]",
        ),
        ("inconclusive",),
        "a single number divided by its own magnitude or deviation, or two numbers that correlate: the output never "
        "changes, which tells nothing of how finely forward computes, and the gradient is rounding instead of zero",
    ),
    Reason(
        ("erf", "erfc", "special.ndtr", "nn.functional.scaled_dot_product_attention"),
        ("inconclusive",),
        "saturated: some gradients are zero or below 1e-9 of the typical one, and forward's rounding hides them: "
        "`below-noise`",
    ),
    Reason(
        ("nn.functional.multi_head_attention_forward[[]0[]]",),
        ("inconclusive",),
        "the attention is saturated: the gradient of the query is at most 6e-14 beside outputs of a hundred",
    ),
    Reason(
        ("special.i1e[[]2[]]",),
        ("inconclusive",),
        "an element is exactly zero, where the second derivative jumps: central differences converge slowly there, and "
        "differ from PyTorch's gradient by 8e-8 of it, close to the tolerance of 1e-7",
    ),
)


def differs(pair: Pair) -> bool:
    """Whether the two did not both pass a sample, or one passed it that the other gave up."""
    ours, theirs = pair
    return ours.verdict != "pass" or theirs.verdict == "fail"


def reason_for(ours: Outcome) -> Reason | None:
    """Return why a sample is not passed by both."""
    return next((reason for reason in REASONS if reason.explains(ours)), None)


def unexplained(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the samples about which the two differ for no known reason."""
    return [pair for pair in pairs if differs(pair) and reason_for(pair[0]) is None]


def report(pairs: Sequence[Pair], unmade: Mapping[str, str], patience: float) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        pairs: what was said of each sample.
        unmade: by op, why it has no samples here.
        patience: seconds after which gradcheck gives a sample up.

    """
    ops = len({ours.name.rpartition("[")[0] for ours, _ in pairs})
    yield from ("# PyTorch's database of ops", "")
    yield from ("Written by `python tests/benchmarks/torch_ops.py --output reports/torch_ops.md`; do not edit.", "")
    yield f"torch {torch.__version__}, Python {sys.version.partition(' ')[0]}. The first samples of every op in `op_db`"
    yield "that autograd supports in float64, each audited by `gradaudit.check(gradaudit.torch_op(op), tensors)` at the"
    yield "default settings, and by `torch.autograd.gradcheck(..., fast_mode=False)`, which gives up where it takes"
    yield f"more than {patience:g} s, or a Jacobian more than 4 GiB. {ops} ops, {len(pairs):,} samples."
    yield from ("", *_table(pairs), "", *_times(pairs), "")
    yield from ("## Where they differ", "", "Every sample that is not passed by both, by the reason why.", "")
    yield from _differences(pairs)
    for op, why in unmade.items():
        yield f"- `{op}` has no samples in this build of PyTorch: {why}"


def _table(pairs: Sequence[Pair]) -> Iterator[str]:
    counts = Counter((ours.verdict, theirs.verdict) for ours, theirs in pairs)
    yield "| gradaudit | " + " | ".join(f"gradcheck: {verdict}" for verdict in THEIRS) + " |"
    yield "|---|" + "---:|" * len(THEIRS)
    for verdict in OURS:
        row = [counts[verdict, theirs] for theirs in THEIRS]
        if any(row):
            yield f"| {verdict} | " + " | ".join(f"{count:,}" for count in row) + " |"


def _times(pairs: Sequence[Pair]) -> Iterator[str]:
    ended = [pair for pair in pairs if pair[1].verdict != "gave up"]
    (ours, theirs), (ours_there, theirs_there) = _spent(pairs), _spent(ended)
    yield f"Seconds of one processor, one after the other, sample by sample: gradaudit took {ours:.0f} s and gradcheck"
    yield f"{theirs:.0f} s ({_ratio(ours, theirs)}). On the {len(ended):,} samples that gradcheck came to an end with,"
    yield f"it was {ours_there:.0f} s and {theirs_there:.0f} s ({_ratio(ours_there, theirs_there)})."


def _spent(pairs: Sequence[Pair]) -> tuple[float, float]:
    return sum(ours.seconds for ours, _ in pairs), sum(theirs.seconds for _, theirs in pairs)


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f} of it" if theirs else "nothing to compare with"


def _differences(pairs: Sequence[Pair]) -> Iterator[str]:
    groups: dict[str, list[Pair]] = {}
    for pair in filter(differs, pairs):
        reason = reason_for(pair[0])
        groups.setdefault(reason.why if reason else "**unexplained**", []).append(pair)
    for why, members in groups.items():
        ends = ", ".join(sorted({f"gradaudit {ours.verdict}, gradcheck {theirs.verdict}" for ours, theirs in members}))
        yield f"- {', '.join(f'`{ours.name}`' for ours, _ in members)} ({ends}): {why}."
        if why == "**unexplained**":
            yield from (f"  - `{ours.name}`: {ours.line} | {theirs.line}" for ours, theirs in members)

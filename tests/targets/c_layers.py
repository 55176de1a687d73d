"""Eight layers in C, in the style of small trainers, which add to their buffers; and faults to plant in them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent

from gradaudit.audit.conclusion import Audit
from gradaudit.drafts.c_build import Built, built
from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict, worst
from gradaudit.spec.load import load_specs

Fault = tuple[str, str]
"""A text, and what stands in its place."""

SOURCE = Path(__file__).parents[1] / "drafts" / "repositories" / "clib"
MENDED = {
    "(1.0f + 0.044715f * x * x)": "(1.0f + 3.0f * 0.044715f * x * x)",
    "dinp2[i] = dout[i]": "dinp2[i] += dout[i]",
}


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def library(folder: Path, *faults: Fault) -> Built:
    """Return the library built from the layers, mended, and with some texts replaced by others; built once for each.

    Source and header lie in the folder afterwards.
    """
    (folder / "layers.c").write_text(_source(faults))
    (folder / "layers.h").write_text((SOURCE / "layers.h").read_text())
    return _built(faults)


def _source(faults: tuple[Fault, ...]) -> str:
    text = (SOURCE / "layers.c").read_text()
    for right, wrong in (*MENDED.items(), *faults):
        assert right in text, right
        text = text.replace(right, wrong, 1)
    return text


@cache
def _built(faults: tuple[Fault, ...]) -> Built:
    _FOLDERS.append(tempfile.TemporaryDirectory())
    folder = Path(_FOLDERS[-1].name)
    (folder / "layers.c").write_text(_source(faults))
    (folder / "layers.h").write_text((SOURCE / "layers.h").read_text())
    return built(folder / "layers.c")


@dataclass(frozen=True)
class Sizes:
    """How large the layers are: batch, time, channels, heads, outputs and classes."""

    B: int = 2
    T: int = 3
    C: int = 4
    NH: int = 2
    OC: int = 5
    V: int = 5


SMALL = Sizes()
LAYERS = ("linear", "layernorm", "gelu", "residual", "softmax", "encoder", "crossentropy", "attention")


def _specs(s: Sizes) -> dict[str, str]:
    """Return what the spec of each layer says of its outputs, its inputs and its params."""
    channels, flat = f"[{s.B}, {s.T}, {s.C}]", 30 if s == SMALL else s.B * s.T * s.C
    labels = f"{{shape: [{s.B}, {s.T}], dtype: int32, distribution: integers, below: {s.V}}}"
    return {
        "linear": f"""
            outputs: {{out: [B, T, OC]}}
            inputs: {{inp: {{shape: {channels}}}, weight: {{shape: [{s.OC}, {s.C}]}}, bias: {{shape: [{s.OC}]}}}}
            params: {{B: {s.B}, T: {s.T}, C: {s.C}, OC: {s.OC}}}
        """,
        "layernorm": f"""
            outputs: {{out: [B, T, C], mean: [B, T], rstd: [B, T]}}
            inputs: {{inp: {{shape: {channels}}}, weight: {{shape: [{s.C}]}}, bias: {{shape: [{s.C}]}}}}
            params: {{B: {s.B}, T: {s.T}, C: {s.C}}}
        """,
        "gelu": f"outputs: {{out: inp}}\ninputs: {{inp: {{shape: [{flat}]}}}}\nparams: {{N: {flat}}}",
        "residual": f"""
            outputs: {{out: [N]}}
            inputs: {{inp1: {{shape: [{flat}]}}, inp2: {{shape: [{flat}]}}}}
            params: {{N: {flat}}}
        """,
        "softmax": f"""
            outputs: {{probs: [B, T, V]}}
            inputs: {{logits: {{shape: [{s.B}, {s.T}, {s.V}]}}}}
            params: {{B: {s.B}, T: {s.T}, V: {s.V}}}
        """,
        "encoder": f"""
            outputs: {{out: [B, T, C]}}
            inputs: {{inp: {labels}, wte: {{shape: [{s.V}, {s.C}]}}, wpe: {{shape: [{s.T}, {s.C}]}}}}
            params: {{B: {s.B}, T: {s.T}, C: {s.C}}}
        """,
        "crossentropy": f"""
            outputs: {{losses: [B, T]}}
            inputs: {{probs: {{shape: [{s.B}, {s.T}, {s.V}], range: [0.1, 1.0]}}, targets: {labels}}}
            params: {{B: {s.B}, T: {s.T}, V: {s.V}}}
        """,
        "attention": f"""
            outputs: {{out: [B, T, C], preatt: [B, NH, T, T], att: [B, NH, T, T]}}
            inputs: {{inp: {{shape: [{s.B}, {s.T}, {3 * s.C}]}}}}
            params: {{B: {s.B}, T: {s.T}, C: {s.C}, NH: {s.NH}}}
        """,
    }


def spec(op: str, made: Built, dtype: str = "float64", accumulates: str = "true", sizes: Sizes = SMALL) -> str:
    """Return the spec of a layer of a library."""
    outputs, _, rest = dedent(_specs(sizes)[op]).strip().partition("\n")
    keys = (
        f"path: {made.path}, header: layers.h, float64: {made.float64}, forward: {op}_forward, backward: {op}_backward"
    )
    target = f"target: {{accumulates: {accumulates}, library: {{{keys}, {outputs}}}}}"
    return f"op: {op}\n{target}\n{rest}\ndtype: {dtype}\n"


def audited(folder: Path, text: str) -> Audit:
    """Return the audit of a spec that is written into a folder."""
    (folder / "spec.yaml").write_text(text)
    (case,) = load_specs([folder / "spec.yaml"]).cases
    return audit_case(case)


def verdict(folder: Path, text: str) -> Verdict:
    """Return its worst verdict."""
    return worst([result.verdict for result in audited(folder, text).results])


FAULTS = {
    "linear, the weight's indices": (
        "linear",
        "dinp[bt * C + i] += weight[o * C + i] * d",
        "dinp[bt * C + i] += weight[o + i] * d",
    ),
    "linear, = for +=": ("linear", "dweight[o * C + i] += inp", "dweight[o * C + i] = inp"),
    "linear, the bias once": ("linear", "dbias[o] += d;", "if (bt == 0) dbias[o] += d;"),
    "layernorm, a mean": ("layernorm", "- dnorm_mean - norm", "- norm"),
    "layernorm, the other mean": ("layernorm", "- norm * dnorm_norm_mean)", ")"),
    "layernorm, the scale": ("layernorm", "* dnorm_norm_mean) * s", "* dnorm_norm_mean)"),
    "layernorm, the weight's gradient": ("layernorm", "dweight[i] += norm * d[i]", "dweight[i] += d[i]"),
    "gelu, a factor": ("gelu", "3.0f * 0.044715f * x * x", "2.0f * 0.044715f * x * x"),
    "gelu, half": ("gelu", "0.5f * (1.0f + t) +", "(1.0f + t) +"),
    "residual, one input": ("residual", "dinp2[i] += dout[i]", "dinp2[i] += dinp1[i]"),
    "softmax, the sum": ("softmax", "p[i] * (d[i] - inner)", "p[i] * d[i]"),
    "encoder, the table's row": ("encoder", "dwte[inp[b * T + t] * C + i] += d", "dwte[inp[b * T + t] * C + i] = d"),
    "encoder, the positions": ("encoder", "dwpe[t * C + i] += d", "dwpe[t * C + i] += (b == 0) * d"),
    "crossentropy, the sign": ("crossentropy", "+= -dlosses[bt] /", "+= dlosses[bt] /"),
    "attention, the scale": ("attention", "dq[i] += k[i] * dpre[u] * scale", "dq[i] += k[i] * dpre[u]"),
    "attention, the future": ("attention", "for (int w = 0; w <= t; w++) dpre", "for (int w = 0; w < t; w++) dpre"),
}


def planted_with(name: str) -> tuple[Fault, ...]:
    """Return a fault and others that are planted in the other layers: they are built together, and do not meet."""
    of_layer: dict[str, list[str]] = {}
    for one, (op, _, _) in FAULTS.items():
        of_layer.setdefault(op, []).append(one)
    place = of_layer[FAULTS[name][0]].index(name)
    return tuple(FAULTS[names[place]][1:] for names in of_layer.values() if place < len(names))

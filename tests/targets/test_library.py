"""C functions through their declarations: layers in the style of small trainers, which add to their buffers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from gradaudit.audit.conclusion import Audit
from gradaudit.drafts.c_build import BuildError, Built, built, in_double
from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict, worst
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs

SOURCE = Path(__file__).parent.parent / "drafts" / "repositories" / "clib"
MENDED = {
    "(1.0f + 0.044715f * x * x)": "(1.0f + 3.0f * 0.044715f * x * x)",
    "dinp2[i] = dout[i]": "dinp2[i] += dout[i]",
}


def library(folder: Path, *fault: str) -> Built:
    """Return the library built from the layers, mended, and with one text replaced by another."""
    text = (SOURCE / "layers.c").read_text()
    for right, wrong in (*MENDED.items(), *([fault] if fault else [])):
        assert right in text, right
        text = text.replace(right, wrong, 1)
    (folder / "layers.c").write_text(text)
    (folder / "layers.h").write_text((SOURCE / "layers.h").read_text())
    return built(folder / "layers.c")


SPECS = {
    "linear": """
        outputs: {out: [B, T, OC]}
        inputs: {inp: {shape: [2, 3, 4]}, weight: {shape: [5, 4]}, bias: {shape: [5]}}
        params: {B: 2, T: 3, C: 4, OC: 5}
    """,
    "layernorm": """
        outputs: {out: [B, T, C], mean: [B, T], rstd: [B, T]}
        inputs: {inp: {shape: [2, 3, 4]}, weight: {shape: [4]}, bias: {shape: [4]}}
        params: {B: 2, T: 3, C: 4}
    """,
    "gelu": "outputs: {out: inp}\ninputs: {inp: {shape: [30]}}\nparams: {N: 30}",
    "residual": "outputs: {out: [N]}\ninputs: {inp1: {shape: [30]}, inp2: {shape: [30]}}\nparams: {N: 30}",
    "softmax": "outputs: {probs: [B, T, V]}\ninputs: {logits: {shape: [2, 3, 5]}}\nparams: {B: 2, T: 3, V: 5}",
    "encoder": """
        outputs: {out: [B, T, C]}
        inputs:
          inp: {shape: [2, 3], dtype: int32, distribution: integers, range: [0, 5]}
          wte: {shape: [6, 4]}
          wpe: {shape: [3, 4]}
        params: {B: 2, T: 3, C: 4}
    """,
    "crossentropy": """
        outputs: {losses: [B, T]}
        inputs:
          probs: {shape: [2, 3, 5], range: [0.1, 1.0]}
          targets: {shape: [2, 3], dtype: int32, distribution: integers, range: [0, 4]}
        params: {B: 2, T: 3, V: 5}
    """,
    "attention": """
        outputs: {out: [B, T, C], preatt: [B, NH, T, T], att: [B, NH, T, T]}
        inputs: {inp: {shape: [2, 3, 12]}}
        params: {B: 2, T: 3, C: 4, NH: 2}
    """,
}


def spec(op: str, made: Built, dtype: str = "float64", accumulates: str = "true") -> str:
    outputs, _, rest = dedent(SPECS[op]).strip().partition("\n")
    keys = (
        f"path: {made.path}, header: layers.h, float64: {made.float64}, forward: {op}_forward, backward: {op}_backward"
    )
    target = f"target: {{accumulates: {accumulates}, library: {{{keys}, {outputs}}}}}"
    return f"op: {op}\n{target}\n{rest}\ndtype: {dtype}\n"


def audited(folder: Path, text: str) -> Audit:
    (folder / "spec.yaml").write_text(text)
    (case,) = load_specs([folder / "spec.yaml"]).cases
    return audit_case(case)


def verdict(folder: Path, text: str) -> Verdict:
    return worst([result.verdict for result in audited(folder, text).results])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_layers_pass(tmp_path: Path, dtype: str) -> None:
    made = library(tmp_path)
    assert {op: str(verdict(tmp_path, spec(op, made, dtype))) for op in SPECS} == dict.fromkeys(SPECS, "pass")


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


@pytest.mark.parametrize(("op", "right", "wrong"), FAULTS.values(), ids=FAULTS)
def test_planted_faults_are_caught(tmp_path: Path, op: str, right: str, wrong: str) -> None:
    assert verdict(tmp_path, spec(op, library(tmp_path, right, wrong))) is Verdict.FAIL


def test_what_writes_behind_the_end_of_a_buffer_is_told(tmp_path: Path) -> None:
    made = library(tmp_path, "for (int i = 0; i < N; i++) out[i] = inp1", "for (int i = 0; i <= N; i++) out[i] = inp1")
    (result, *_) = audited(tmp_path, spec("residual", made)).results
    assert result.verdict is Verdict.ERROR
    assert result.message == "residual_forward writes behind the end of out, which has shape (30,)"


MISTAKES = {
    "a header that is not there": ("header: layers.h", "header: ▸layer.h", "'layer.h' cannot be read"),
    "a header without functions": ("header: layers.h", "header: ▸empty.h", "declares no function that can be read"),
    "a function's name": (
        "softmax_backward",
        "▸softmax_bakward",
        "declares no 'softmax_bakward'; did you mean 'softmax_backward'?",
    ),
    "a size": ("[B, T, V]", "▸[B, T, W]", "found 'W', expected one of B, T, V"),
    "an output that is not named": (", outputs: {probs: [B, T, V]}", "", "what is probs, that softmax_forward takes?"),
}


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_refused_where_they_stand(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    (tmp_path / "empty.h").write_text("#define NOTHING\nint x = 3;\n")
    text = spec("softmax", library(tmp_path))
    assert right in text
    changed = text.replace(right, wrong)
    before, _, _ = changed.partition("▸")
    (tmp_path / "spec.yaml").write_text(changed.replace("▸", ""))
    with pytest.raises(SpecError) as caught:
        load_specs([tmp_path / "spec.yaml"])
    problem = next(one for one in caught.value.problems if said in str(one))
    if "▸" in changed:
        assert (problem.location.line, problem.location.column) == (2, len(before.split("\n")[-1]) + 1)


def test_a_library_that_lacks_a_declared_function_is_refused_where_it_is_named(tmp_path: Path) -> None:
    text = spec("softmax", library(tmp_path)).replace("softmax_backward", "softmax_gradient")
    header = (tmp_path / "layers.h").read_text()
    (tmp_path / "layers.h").write_text(header.replace("softmax_backward", "softmax_gradient"))
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_specs([tmp_path / "spec.yaml"])
    problem = caught.value.problems[0]
    column = text.split("\n")[1].index("softmax_gradient") + 1
    assert (problem.location.line, problem.location.column) == (2, column)
    assert "has no function 'softmax_gradient', which 'layers.h' declares" in str(problem)


def test_names_that_cpp_mangles_are_told_of(tmp_path: Path) -> None:
    made = library(tmp_path)
    source = tmp_path / "layers.cpp"
    source.write_text((tmp_path / "layers.c").read_text())
    path = tmp_path / "mangled.so"
    subprocess.run(["c++", "-shared", "-fPIC", str(source), "-o", str(path)], check=True)
    (tmp_path / "spec.yaml").write_text(spec("softmax", Built(str(path), made.float64)))
    with pytest.raises(SpecError, match=r'has no function .*is it declared extern "C"\?'):
        load_specs([tmp_path / "spec.yaml"])


def test_floats_become_doubles_in_literals_and_functions_too() -> None:
    text = "float f(float x) { return 1.5f * expf(x) + 2f + .5e-3F; } /* xf 0x1f */"
    assert in_double(text) == "double f(double x) { return 1.5 * exp(x) + 2.0 + .5e-3; } /* xf 0x1f */"


def test_what_does_not_compile_is_told_in_the_compilers_words(tmp_path: Path) -> None:
    (tmp_path / "broken.c").write_text("void f_backward(float* x) { x[0] = ; }\n")
    with pytest.raises(BuildError, match=r"it does not compile: broken\.c:1:\d+: error: expected expression"):
        built(tmp_path / "broken.c")

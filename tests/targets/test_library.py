"""C functions through their declarations: layers in the style of small trainers, which add to their buffers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from c_layers import FAULTS, LAYERS, audited, library, planted_with, spec, verdict

from gradaudit.drafts.c_build import BuildError, Built, built, in_double
from gradaudit.results import Verdict
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_layers_pass(tmp_path: Path, dtype: str) -> None:
    made = library(tmp_path)
    assert {op: str(verdict(tmp_path, spec(op, made, dtype))) for op in LAYERS} == dict.fromkeys(LAYERS, "pass")


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_caught(tmp_path: Path, name: str) -> None:
    assert verdict(tmp_path, spec(FAULTS[name][0], library(tmp_path, *planted_with(name)))) is Verdict.FAIL


def test_what_writes_behind_the_end_of_a_buffer_is_told(tmp_path: Path) -> None:
    loop = "for (int i = 0; i {} N; i++) out[i] = inp1"
    made = library(tmp_path, (loop.format("<"), loop.format("<=")))
    (result, *_) = audited(tmp_path, spec("residual", made)).results
    assert result.verdict is Verdict.ERROR
    assert result.message == "residual_forward writes behind the end of out, which has shape (30,)"


def test_what_is_left_out_of_a_buffer_is_told(tmp_path: Path) -> None:
    loop = "for (int i = 0; i < {}; i++) out[i] = inp1"
    made = library(tmp_path, (loop.format("N"), loop.format("N - 1")))
    (result, *_) = audited(tmp_path, spec("residual", made)).results
    (found,) = [finding for finding in result.findings if finding.fails]
    assert (found.code, found.evidence["changed"]) == ("unwritten-memory", 1)


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

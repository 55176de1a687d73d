"""What YAML may say and how it is read: scalars, documents, encodings, and texts that are no spec at all."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spec_text import HEAD, load, refusal, refusals, spec

from gradaudit.spec.draw import draw_inputs
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs
from gradaudit.spec.source import read_documents


def params(folder: Path, text: str) -> object:
    """Return what ``params: {a: TEXT}`` holds under a."""
    return load(folder, spec(rest=f"params:\n  a: {text}\n"))[0].params["a"]


SCALARS = {
    "1e-5": 1e-5,
    "1E5": 1e5,
    "-1e-05": -1e-5,
    "+.5": 0.5,
    "1.": 1.0,
    "1.0e-5": 1e-5,
    ".inf": float("inf"),
    "-.INF": float("-inf"),
    "12": 12,
    "-012": -12,
    "0o17": 15,
    "0xff": 255,
    "true": True,
    "FALSE": False,
    "~": None,
    "null": None,
    "": None,
    "no": "no",
    "on": "on",
    "y": "y",
    "1:30": "1:30",
    "1_000": "1_000",
    "2024-01-01": "2024-01-01",
    "1e": "1e",
    "e5": "e5",
    "0b1": "0b1",
    "+": "+",
    ".": ".",
    "'1e-5'": "1e-5",
    '"true"': "true",
    "!!str 1": "1",
    "!!float 1": 1.0,
    "=": "=",
    "nan": "nan",
}


@pytest.mark.parametrize(("text", "value"), SCALARS.items(), ids=repr)
def test_scalars_follow_the_core_schema_of_yaml_1_2(tmp_path: Path, text: str, value: object) -> None:
    found = params(tmp_path, text)
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number(tmp_path: Path) -> None:
    found = params(tmp_path, ".NaN")
    assert isinstance(found, float)
    assert found != found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.floats(allow_nan=False), st.integers()))
def test_numbers_are_read_back_as_python_writes_them(tmp_path: Path, number: float) -> None:
    text = {"inf": ".inf", "-inf": "-.inf"}.get(repr(number), repr(number))
    found = params(tmp_path, text)
    assert found == number
    assert type(found) is type(number)


def test_keys_are_words_whatever_they_look_like(tmp_path: Path) -> None:
    (case,) = load(tmp_path, spec(rest="params: {true: 1, 2: 3, 1e-5: 4}"))
    assert case.params == {"true": 1, "2": 3, "1e-5": 4}


def test_an_alias_repeats_what_its_anchor_names(tmp_path: Path) -> None:
    (case,) = load(tmp_path, spec("x: &x {shape: [3], range: [0, 1]}, y: *x"))
    assert case.inputs[1].shape == (3,)
    assert case.inputs[1].range == (0.0, 1.0)


def test_nothing_in_a_spec_is_evaluated(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for tag in ("python/object/apply:os.mkdir", "python/object/new:os.mkdir"):
        message = refusal(tmp_path, spec(rest=f"params: {{a: ▸!!{tag} [{made}]}}"))
        assert "plain values only" in message
    assert "plain values only" in refusal(tmp_path, spec(rest="params: {a: ▸!!python/name:os.mkdir x}"))
    assert not made.exists()


@pytest.mark.parametrize(
    "text", ["!!set {a, b}", "!!omap [a: 1]", "!!binary aGk=", "!!timestamp 2024-01-01", "!mine 3"]
)
def test_tags_beyond_plain_values_are_refused(tmp_path: Path, text: str) -> None:
    assert "plain values only" in refusal(tmp_path, spec(rest=f"params: {{a: ▸{text}}}"))


@pytest.mark.parametrize("text", ["!!int one", "!!float one", "9" * 5000], ids=["int", "float", "5000 digits"])
def test_a_number_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    assert "number that cannot be read" in refusal(tmp_path, spec(rest=f"params: {{a: ▸{text}}}"))


def test_a_bool_that_is_none_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path, spec(rest="params: {a: ▸!!bool yes}"))


def test_a_duplicate_key_is_refused_at_every_level_and_the_rest_is_still_read(tmp_path: Path) -> None:
    text = """
op: gelu
▸op: selu
target: {forward: m:f, backward: m:g, ▸forward: m:h}
inputs:
  x: {shape: [3], ▸shape: [4]}
  ▸x: {shape: [3]}
params: {a: {b: 1, ▸b: 2}}
cases:
  - name: a
    seed: 1
    ▸name: b
  - {name: c, ▸sed: 3}
"""
    messages = refusals(tmp_path, text)
    assert messages[0] == "key 'op' is given twice; the first is on line 2"
    assert messages[-2] == "key 'name' is given twice; the first is on line 10"
    assert "unknown key 'sed'" in messages[-1]


def test_a_merge_key_is_refused(tmp_path: Path) -> None:
    assert "merge keys (<<) are not supported" in refusal(tmp_path, spec(rest="params: {▸<<: {a: 1}}"))


@pytest.mark.parametrize("key", ["? [a]\n", "? {a: 1}\n"])
def test_a_key_that_is_no_word_is_refused(tmp_path: Path, key: str) -> None:
    text = spec(rest=f"params:\n  {key[:2]}▸{key[2:]}  : 3\n")
    assert "found a list or mapping as a key" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "op: gelu\n▸\ttarget: {}\n",
        "op: gelu\ninputs:\n▸\tx: {shape: [3]}\n",
        "op: gelu\ninputs:\n  ▸\tx: {shape: [3]}\n",
        "op: gelu\ninputs:\n  x:\n  ▸\tshape: [3]\n",
        "op: gelu\ncases:\n-▸\tname: a\n\tseed: 3\n",
        "▸\top: gelu\n",
        "op: gelu\n▸\t\tseed: 1\n",
    ],
)
def test_a_tab_in_the_indentation_is_called_a_tab(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text) == "found a tab in the indentation; YAML indents with spaces only"


def test_a_tab_elsewhere_is_white_space(tmp_path: Path) -> None:
    (case,) = load(
        tmp_path, "op:\tgelu\ntarget:\t{forward:\tm:f,\tbackward: m:g}\t# what\ninputs: {\n\tx: {shape: [3]}}\n"
    )
    assert case.op == "gelu"


def test_a_mistake_about_the_word_table_is_not_taken_for_a_tab(tmp_path: Path) -> None:
    assert "alias" in refusal(tmp_path, "op: gelu\nmodule: ▸*table\n")
    assert "tab in" not in refusal(tmp_path, "op: gelu\nmodule: ▸@tab\n")


SYNTAX = {
    "an unclosed list": "op: [gelu\n▸",
    "an unclosed quote": 'op: "gelu\n▸',
    "a colon too many": "op: gelu▸: b\n",
    "a key that dedents": "op:\n    gelu: 1\n  ▸b: 2\n",
    "a mistake behind a tab that is no indentation": "op: {\n\ta: ▸]}\n",
    "an unknown alias": "op: ▸*gelu\n",
    "a second closing bracket": "op: [a]▸]\n",
    "a reserved character": "op: ▸`gelu`\n",
    "an unknown tag": "op: ▸!e!x gelu\n",
}


@pytest.mark.parametrize("text", SYNTAX.values(), ids=SYNTAX)
def test_what_is_not_yaml_is_refused_where_it_ends_to_be(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text).startswith("is not valid YAML: ")


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# only a comment\n", "---\n", "---\n---\n...\n", "null\n", "~", "\ufeff"]
)
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, f"▸{text}") == "is empty: expected a spec that starts with 'op: NAME'"


def test_a_file_of_several_documents_holds_several_specs(tmp_path: Path) -> None:
    text = "---\n" + "---\n".join(spec(head=HEAD.replace("gelu", op)) for op in ("a", "b", "c")) + "---\n# nothing\n"
    assert [case.op for case in load(tmp_path, text)] == ["a", "b", "c"]


def test_a_document_that_is_wrong_does_not_hide_the_mistakes_of_the_others(tmp_path: Path) -> None:
    text = """▸- a
---
op: a
▸sede: 1
---
op: b
params: {▸<<: {c: 1}}
▸stpe: 1
---
op: []▸]
---
sede: 1
"""
    messages = refusals(tmp_path, text)
    assert "expected a spec with keys" in messages[0]
    assert "unknown key 'sede'" in messages[1]


def test_the_same_op_twice_in_a_file_names_the_first_place(tmp_path: Path) -> None:
    first = spec()
    message = refusal(tmp_path, f"{first}---\n{first.replace('gelu', '▸gelu')}")
    assert message == f"op 'gelu' is already specified at {tmp_path / 'spec.yaml'}:1:5"


def test_the_same_op_in_two_files_names_both_places(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"# a comment\n{spec()}")
    (tmp_path / "b.yaml").write_text(spec(head=HEAD.replace("op: gelu", "op:   gelu")))
    with pytest.raises(SpecError) as caught:
        load_specs([tmp_path])
    assert (
        str(caught.value) == f"{tmp_path / 'b.yaml'}:1:7: op 'gelu' is already specified at {tmp_path / 'a.yaml'}:2:5"
    )


def test_the_same_op_is_told_even_where_the_specs_are_wrong_otherwise(tmp_path: Path) -> None:
    text = """
op: gelu
▸sede: 1
---
op: ▸gelu
target: {forward: m:f, backward: m:g}
inputs: {x: {shape: [3], gap: ▸5.0}}
"""
    messages = refusals(tmp_path, text)
    assert messages[1] == f"op 'gelu' is already specified at {tmp_path / 'spec.yaml'}:2:5"


BAD_BYTES = {
    "latin-1": (b"op: gelu\nnotes: caf\xe9\n", 2, 11, "0xe9"),
    "after what UTF-8 writes in several bytes": ("op: gelu\nnotes: éé→".encode() + b"\xff\n", 2, 11, "0xff"),
    "after a byte order mark": (b"\xef\xbb\xbfop: \xff\n", 1, 5, "0xff"),
    "UTF-16": ("op: gelu\n".encode("utf-16"), 1, 1, "0xff"),
    "cut off": (b"op: gelu\nmodule: a\n\xe2\x82", 3, 1, "0xe2"),
}


@pytest.mark.parametrize(("raw", "line", "column", "byte"), BAD_BYTES.values(), ids=BAD_BYTES)
def test_what_is_not_utf_8_is_refused_at_its_first_bad_byte(
    tmp_path: Path, raw: bytes, line: int, column: int, byte: str
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(raw)
    documents, (problem,) = read_documents(file)
    assert documents == []
    assert (problem.location.line, problem.location.column) == (line, column)
    assert problem.message == f"is not UTF-8 text: found byte {byte}; save it as UTF-8"


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\ufffe"])
def test_a_control_character_is_refused_where_it_stands(tmp_path: Path, character: str) -> None:
    assert refusal(tmp_path, f"op: gelu # é→\nnotes: né ▸{character}\n").startswith("is not YAML: ")


def test_columns_count_characters_after_a_byte_order_mark_accents_and_emoji(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + spec(rest="sede: 1").encode())
    _, problems = read_documents(tmp_path / "bom.yaml")
    assert not problems
    assert "unknown key" in refusal(tmp_path, spec(rest="params: {é: 1, 😀: [→]}\ntolerance: {reason: ééé😀, ▸rtl: 1}"))


def test_windows_line_ends_count_once(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(spec(rest="sede: 1\n").replace("\n", "\r\n").encode())
    with pytest.raises(SpecError) as caught:
        load_specs([file])
    (problem,) = caught.value.problems
    assert (problem.location.line, problem.location.column) == (4, 1)


def test_an_alias_bomb_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    before = time.process_time()
    _, (problem,) = read_documents(tmp_path / "bomb.yaml")
    assert time.process_time() - before < 5
    assert "are aliases nested in aliases?" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "op: gelu\nparams: ▸&p {a: *p}\n",
        "op: gelu\nparams: {a: ▸&p [*p, *p]}\n",
        "op: gelu\ninputs: ▸&p {x: {values: *p}}\n",
    ],
)
def test_an_alias_that_contains_itself_is_refused(tmp_path: Path, text: str) -> None:
    assert "does an alias contain itself?" in refusal(tmp_path, text)


NESTINGS = pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])


@NESTINGS
def test_deep_nesting_is_refused(tmp_path: Path, opening: str) -> None:
    (tmp_path / "deep.yaml").write_text(opening * 60)
    _, (problem,) = read_documents(tmp_path / "deep.yaml")
    assert "levels deep" in problem.message


@NESTINGS
def test_endless_nesting_is_refused_and_does_not_end_the_process(tmp_path: Path, opening: str) -> None:
    (tmp_path / "deep.yaml").write_text(opening * 100_000)
    documents, (problem,) = read_documents(tmp_path / "deep.yaml")  # PyYAML 6.0.4 and later refuse it before we do
    assert documents == []
    assert problem.location.line == 1


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    with pytest.raises(SpecError) as caught:
        load_specs([tmp_path])
    assert [problem.location.file.name for problem in caught.value.problems] == ["dangling.yaml", "loop.yaml"]
    assert all("cannot be read: " in problem.message for problem in caught.value.problems)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_no_bytes_bring_the_reader_down(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(raw)
    with pytest.raises(SpecError) as caught:
        load_specs([file])
    assert all(problem.location.line >= 1 and problem.location.column >= 1 for problem in caught.value.problems)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.integers(0, 3), max_size=3),
)
KEYS = [
    "shape",
    "range",
    "dtype",
    "distribution",
    "avoid",
    "gap",
    "values",
    "layout",
    "points",
    "margin",
    "call",
    "args",
]
TREES = st.recursive(
    LEAVES,
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.sampled_from([*KEYS, "x", "name"]), below, max_size=4)
    ),
    max_leaves=8,
)
DOCUMENT_KEYS = ["target", "inputs", "params", "dtype", "tolerance", "upstream", "step", "seed", "cases", "findings"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(DOCUMENT_KEYS), TREES, min_size=1, max_size=3), st.booleans())
def test_no_value_in_any_place_brings_the_loader_down(tmp_path: Path, tree: dict[str, object], below: bool) -> None:
    """Whatever stands where, in a document or in a case of it, the spec loads or is refused with places."""
    document: dict[str, object] = {
        "op": "a",
        "target": {"forward": "m:f", "backward": "m:g"},
        "inputs": {"x": {"shape": [3]}},
    }
    document |= {"cases": [{"name": "a"} | tree]} if below else tree
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    with contextlib.suppress(SpecError):
        assert load_specs([file]).cases


def test_a_pipe_or_an_endless_device_among_specs_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    with pytest.raises(SpecError) as raised:
        load_specs([tmp_path])
    said = {problem.location.file.name: problem.message for problem in raised.value.problems}
    assert said == {
        "pipe.yaml": "is not a regular file; expected a text file",
        "zero.yaml": "is not a regular file; expected a text file",
        "gone.yaml": "cannot be read: No such file or directory",
    }


def test_a_file_that_nobody_wrote_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "huge.yaml").touch()
    os.truncate(tmp_path / "huge.yaml", 2**33)
    with pytest.raises(SpecError, match=r"has 8,589,934,592 bytes: expected a spec of at most 67,108,864"):
        load_specs([tmp_path])


def test_thousands_of_cases_and_of_avoided_points(tmp_path: Path) -> None:
    cases = "".join(f"  - name: case_{k}\n" for k in range(2_000))
    points = ", ".join(f"{k}.5" for k in range(5_000))
    (tmp_path / "many.yaml").write_text(
        "op: many\ntarget: {forward: 'k:f', backward: 'k:b'}\ndtype: float32\n"
        f"inputs: {{x: {{shape: [50], range: [0.0, 4000.0], avoid: {{points: [{points}], margin: 0.25}}}}}}\n"
        f"cases:\n{cases}"
    )
    loaded = load_specs([tmp_path]).cases
    assert [case.name for case in loaded] == [f"case_{k}" for k in range(2_000)]
    drawn = draw_inputs(loaded[7])["x"]
    assert (abs(drawn - drawn.astype(int) - 0.5) >= 0.25).all()

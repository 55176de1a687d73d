"""The expressions of ``-k``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_text import HEAD, load, spec

from gradaudit.spec.case import Case
from gradaudit.spec.select import SelectionError, parse_selection


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    text = "---\n".join(
        spec(
            head=HEAD.replace("gelu", op),
            rest=f"module: {module}\ndtype: [float32, float64]\ncases: [{{name: Default}}, {{name: wide}}]\n",
        )
        for module, op in (("activation", "gelu"), ("activation", "relu"), ("loss", "focal"))
    )
    return {case.id: case for case in load(tmp_path_factory.mktemp("specs"), text)}


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("gelu", lambda name: "gelu" in name),
        ("elu", lambda name: "elu" in name),
        ("GELU", lambda name: "gelu" in name),
        ("default", lambda name: "Default" in name),
        ("loss/", lambda name: name.startswith("loss/")),
        ("::wide", lambda name: "::wide" in name),
        ("[float32]", lambda name: "float32" in name),
        ("activation/relu::wide[float64]", lambda name: name == "activation/relu::wide[float64]"),
        ("not gelu", lambda name: "gelu" not in name),
        ("not not gelu", lambda name: "gelu" in name),
        ("gelu and wide", lambda name: "gelu" in name and "wide" in name),
        ("gelu or focal", lambda name: "gelu" in name or "focal" in name),
        ("gelu or focal and wide", lambda name: "gelu" in name or ("focal" in name and "wide" in name)),
        ("focal and wide or gelu", lambda name: "gelu" in name or ("focal" in name and "wide" in name)),
        ("(gelu or focal) and wide", lambda name: ("gelu" in name or "focal" in name) and "wide" in name),
        ("not gelu and wide", lambda name: "gelu" not in name and "wide" in name),
        ("not (gelu and wide)", lambda name: not ("gelu" in name and "wide" in name)),
        ("not(gelu)or(wide)", lambda name: "gelu" not in name or "wide" in name),
        ("((gelu))", lambda name: "gelu" in name),
        ("  gelu\t\n", lambda name: "gelu" in name),
        (
            "loss or focal or wide and float32 and not gelu",
            lambda name: "loss" in name or ("wide[float32" in name and "gelu" not in name),
        ),
        ("nothing", lambda name: False),
    ],
)
def test_an_expression_selects_the_cases_whose_id_it_holds_for(
    cases: dict[str, Case], expression: str, matches: object
) -> None:
    selector = parse_selection(expression)
    assert {name for name, case in cases.items() if selector(case)} == {name for name in cases if matches(name)}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "ends early"),
        ("   ", "ends early"),
        ("gelu and", "ends early"),
        ("gelu or", "ends early"),
        ("not", "ends early"),
        ("(", "ends early"),
        ("and", "found 'and'"),
        ("or gelu", "found 'or'"),
        ("gelu and or relu", "found 'or'"),
        ("not and gelu", "found 'and'"),
        ("()", r"found '\)'"),
        ("(gelu", "not closed"),
        ("(gelu relu)", "not closed"),
        ("((gelu)", "not closed"),
        ("gelu)", r"found '\)'"),
        ("gelu relu", "found 'relu'"),
        ("gelu not relu", "found 'not'"),
        ("gelu (relu)", r"found '\('"),
        ("(" * 10_000 + "gelu", "nested too deeply"),
        ("not " * 10_000 + "gelu", "nested too deeply"),
    ],
)
def test_an_expression_that_cannot_be_read_is_refused(expression: str, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        parse_selection(expression)


def test_a_long_list_of_words_is_no_nesting(cases: dict[str, Case]) -> None:
    assert any(map(parse_selection(" or ".join(["nothing"] * 3000 + ["gelu"])), cases.values()))
    assert all(map(parse_selection(" and ".join(["float"] * 3000)), cases.values()))


EXPRESSIONS = st.recursive(
    st.sampled_from(["gelu", "relu", "focal", "wide", "float32", "loss"]),
    lambda below: st.one_of(
        below.map("not {}".format),
        below.map("({})".format),
        st.tuples(below, st.sampled_from(["and", "or"]), below).map(" ".join),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_and_or_not_and_parentheses_mean_what_they_mean_in_python(cases: dict[str, Case], expression: str) -> None:
    selector = parse_selection(expression)
    for name, case in cases.items():
        words = {word: word in name for word in ("gelu", "relu", "focal", "wide", "float32", "loss")}
        assert selector(case) == eval(expression, {}, words)

"""Which faults are planted in which expressions, and that each changes what it names and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from written_ops import changes, write_op


def planted(folder: Path, module: str, line: str) -> set[str]:
    """Return what the mutants of a backward of one line make of that line."""
    cases = write_op(
        folder, module, f"import numpy as np\n\ndef forward(x): return x\n\ndef backward(u, x):\n    {line}\n"
    )
    return set(changes(cases, folder))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return u - x", {"return -(u - x)", "return u + x", "return u", "return -x", "return (x - u)"}),
        ("return u * (x + 1.0)", {"return -(u * (x + 1.0))", "return u / (x + 1.0)", "return u", "return (x + 1.0)"}
         | {"return u * (x - 1.0)", "return u * (x)", "return u * (1.0)", "return u * (x + 1.1)"}),
        ("return -u", {"return u", "return -(-u)"}),
        ("return u / x", {"return -(u / x)", "return u * x", "return u", "return (x / u)"}),
        ("return u @ x.T", {"return -(u @ x.T)", "return (x.T @ u)", "return u @ x"}),
        ("return u**2", {"return -(u**2)", "return (u * 2)", "return u", "return (2 ** u)", "return u**3"}),
        ("return u[1:, :-1]", {"return -u[1:, :-1]", "return u[2:, :-1]", "return u[1:, 1:-1]", "return u[1:, :-2]"}
         | {"return u[1:, :1]"}),
        ("return u.sum(axis=0)", {"return -u.sum(axis=0)", "return u.mean(axis=0)", "return u.sum(axis=1)"}
         | {"return u"}),
        ("return np.sum(u, axis=(0, -1))", {"return -np.sum(u, axis=(0, -1))", "return np.mean(u, axis=(0, -1))"}
         | {"return np.sum(u, axis=(-1,))", "return np.sum(u, axis=(0,))", "return u"}
         | {"return np.sum(u, axis=(1, -1))", "return np.sum(u, axis=(0, 1))", "return np.sum(u, axis=(0, -2))"}),
        ("return np.where(x > u, u, x)", {"return -np.where(x > u, u, x)", "return np.where(x > u, x, u)"}
         | {"return np.where(x < u, u, x)", "return (x > u)"}),
        ("return u if x else -u", {"return -(u if x else -u)", "return u if (not x) else -u", "return u if x else u"}),
        ("return u.swapaxes(0, 1)", {"return -u.swapaxes(0, 1)", "return u", "return u.swapaxes(1, 1)"}
         | {"return u.swapaxes(0, 2)"}),
    ],
)  # fmt: skip
def test_an_expression_has_these_faults(tmp_path: Path, line: str, expected: set[str]) -> None:
    assert planted(tmp_path, "one", line) == expected


def test_statements_have_faults_too(tmp_path: Path) -> None:
    source = """
    def forward(x): return x

    def backward(u, x):
        for i in range(len(x)):
            u += x
        u *= 2
        return u
    """
    found = set(changes(write_op(tmp_path, "loop", source), tmp_path))
    assert {"for i in range(len(x) - 1):", "u -= x", "u = x", "pass", "u /= 2"} < found


def test_what_only_complains_and_what_is_no_formula_is_left_alone(tmp_path: Path) -> None:
    source = '''
    def forward(x): return x

    def backward(u: "tuple[int, 3]", x, scale=1 + 1):
        """Twice 1 + 1."""
        if x.ndim < 1 + 1:
            raise ValueError("3 axes" + str(1 - 2))
        assert scale == 1 + 1
        half: "list[4 - 2]" = u
        return half
    '''
    assert set(changes(write_op(tmp_path, "plain", source), tmp_path)) == {"return -half"}


def test_brackets_comments_and_other_letters_stay_where_they_are(tmp_path: Path) -> None:
    source = """
    def forward(x): return x

    def backward(u, x):
        gradient = (  # ü: u·(x ÷ 1)
            u * (x
                 - 1.0)
        )
        return gradient
    """
    cases = write_op(tmp_path, "letters", source)
    for mutants in changes(cases, tmp_path).values():
        for mutant in mutants:
            compile(mutant.source.text, "letters.py", "exec")
            assert "# ü: u·(x ÷ 1)" in mutant.source.text

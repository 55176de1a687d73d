"""Which spec audits which backward pass: by the target's functions, through imports and adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gradaudit.coverage.discover import discover
from gradaudit.coverage.fingerprint import hash_case, source_hasher
from gradaudit.coverage.match import Matching, match_passes
from gradaudit.coverage.pattern_passes import compiled_patterns
from gradaudit.source.reach import reach_finder
from gradaudit.spec.load import load_specs

KERNELS = {
    "kernels/__init__.py": "from .act import relu, relu_backward as public_backward\nfrom .linear import *\n",
    "kernels/act.py": """
SLOPE = 0.1
UNUSED = 5

def relu(x):
    return x * (x > 0)

def relu_backward(g, x):
    return g * (x > 0) * SLOPE

def gelu_backward(g, x):
    '''Not audited.'''
    return g
""",
    "kernels/linear.py": """
from kernels.act import relu_backward
from kernels import shared as s

class Linear:
    def forward(self, x): return x
    def backward(self, g): return s.scaled(g)

def fused_backward(g, x):
    return relu_backward(g, x)
""",
    "kernels/shared.py": "def scaled(g):\n    return g * 2\n",
    "adapters.py": """
import kernels.linear

def linear(x): return x
def linear_gradient(g, x):
    return _layer().backward(g)
def _layer():
    return kernels.linear.Linear()
""",
    "native.rs": "fn tan_backward(g: f64) -> f64 { g }\nfn relu_backward(g: f64) -> f64 { g }\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in KERNELS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def specify(tree: Path, **backwards: str) -> None:
    """Write a spec for each op, with this backward."""
    for op, backward in backwards.items():
        target = {"forward": "kernels.act:relu", "backward": backward}
        document: dict[str, Any] = {"op": op, "target": target, "inputs": {"x": {"shape": [2]}}}
        (tree / "specs").mkdir(exist_ok=True)
        (tree / "specs" / f"{op}.yaml").write_text(yaml.safe_dump(document))


def matched(tree: Path) -> tuple[dict[str, tuple[str, ...]], Matching]:
    """Return the ops of each pass that has any, by the pass's place and name."""
    passes = discover([tree], compiled_patterns({}), base=tree).passes
    matching = match_passes(passes, load_specs([tree / "specs"]).cases, reach_finder([tree]), tree)
    return {f"{one.file.stem}:{one.name}": ops for one, ops in matching.ops.items() if ops}, matching


@pytest.mark.parametrize(
    ("backward", "expected"),
    [
        ("kernels.act:relu_backward", "act:relu_backward"),
        ("kernels:public_backward", "act:relu_backward"),
        ("kernels:Linear.backward", "linear:Linear"),
        ("kernels.linear:Linear.backward", "linear:Linear"),
        ("adapters:linear_gradient", "linear:Linear"),
        ("kernels.linear:fused_backward", "linear:fused_backward"),
    ],
)
def test_by_target_whatever_the_op_is_called(tree: Path, backward: str, expected: str) -> None:
    specify(tree, any_name=backward)
    assert matched(tree)[0] == {expected: ("any_name",)}


def test_by_name_only_where_nothing_else_leads_there(tree: Path) -> None:
    specify(tree, tan="elsewhere:call_into_rust", relu="kernels.act:relu_backward")
    found, matching = matched(tree)
    assert found == {"native:tan_backward": ("tan",), "act:relu_backward": ("relu",)}
    assert matching.by_name == {"tan"}


def test_an_op_of_a_torch_library_by_its_function(tree: Path) -> None:
    (tree / "lib.py").write_text(
        "@custom_op('mylib::mul')\ndef mul(x): return x\n"
        "def back(ctx, g): return g\nregister_autograd('mylib::mul', back)\n"
    )
    specify(tree, product="lib:mul")
    assert matched(tree)[0] == {"lib:mylib::mul": ("product",)}


def test_two_specs_may_audit_one_pass(tree: Path) -> None:
    specify(tree, a="kernels.act:relu_backward", b="kernels:public_backward")
    assert matched(tree)[0] == {"act:relu_backward": ("a", "b")}


class TestHashes:
    """The hash of an implementation changes with what it computes and with nothing else."""

    def hash(self, tree: Path) -> str:
        (case,) = load_specs([tree / "specs"]).cases
        return source_hasher(reach_finder([tree]))(case)

    def changed(self, tree: Path, file: str, old: str, new: str) -> bool:
        before = self.hash(tree)
        text = (tree / file).read_text()
        assert old in text
        (tree / file).write_text(text.replace(old, new))
        return self.hash(tree) != before

    @pytest.mark.parametrize(
        ("file", "old", "new"),
        [
            ("kernels/act.py", "return g * (x > 0) * SLOPE", "return g * (x >= 0) * SLOPE"),
            ("kernels/act.py", "SLOPE = 0.1", "SLOPE = 0.2"),
            ("kernels/act.py", "def relu(x):", "def relu(x, y=1):"),
        ],
    )
    def test_a_change_of_what_the_code_computes_changes_the_hash(
        self, tree: Path, file: str, old: str, new: str
    ) -> None:
        specify(tree, f="kernels:public_backward")
        assert self.changed(tree, file, old, new)

    @pytest.mark.parametrize(
        ("file", "old", "new"),
        [
            ("kernels/act.py", "return g * (x > 0) * SLOPE", "return (g * (x>0)) * SLOPE  # scaled"),
            ("kernels/act.py", "def relu_backward(g, x):", "def relu_backward(g, x):\n    '''New words.'''"),
            ("kernels/act.py", "UNUSED = 5", "UNUSED = 6"),
            ("kernels/act.py", "'''Not audited.'''", "print()"),
            ("kernels/shared.py", "2", "3"),
        ],
    )
    def test_a_change_of_comments_or_unused_code_keeps_the_hash(
        self, tree: Path, file: str, old: str, new: str
    ) -> None:
        specify(tree, f="kernels:public_backward")
        assert not self.changed(tree, file, old, new)

    def test_what_is_called_in_other_modules(self, tree: Path) -> None:
        specify(tree, f="adapters:linear_gradient")
        assert self.changed(tree, "kernels/shared.py", "g * 2", "g * 3")

    def test_what_is_registered_beside_it(self, tree: Path) -> None:
        (tree / "own.py").write_text("f = custom_vjp(len)\ndef back(g):\n    return g\nf.defvjp(len, back)\n")
        specify(tree, f="own:f")
        assert self.changed(tree, "own.py", "return g", "return -g")

    def test_imports_inside_functions(self, tree: Path) -> None:
        (tree / "own.py").write_text("def back(g):\n    from kernels.shared import scaled\n    return scaled(g)\n")
        specify(tree, f="own:back")
        assert self.changed(tree, "kernels/shared.py", "g * 2", "g * 3")

    def test_modules_that_import_each_other(self, tree: Path) -> None:
        (tree / "a.py").write_text("from b import g\ndef f(x): return g(x)\n")
        (tree / "b.py").write_text("from a import f\ndef g(x): return f(x)\n")
        specify(tree, f="a:f")
        assert self.changed(tree, "b.py", "return f(x)", "return -f(x)")

    def test_nesting_without_end(self, tree: Path) -> None:
        (tree / "own.py").write_text(f"def f(x):\n    return {'-' * 2000}x\n")
        specify(tree, f="own:f")
        assert self.changed(tree, "own.py", "x\n", "x + 1\n")

    def test_what_has_no_source_has_no_hash(self, tree: Path) -> None:
        specify(tree, f="nowhere:f")
        file = tree / "specs" / "f.yaml"
        file.write_text(file.read_text().replace("kernels.act:relu", "math:exp"))
        assert self.hash(tree) == ""

    def test_a_case_is_what_it_says(self, tree: Path) -> None:
        specify(tree, f="kernels:public_backward")
        file = tree / "specs" / "f.yaml"
        (first,) = load_specs([file]).cases
        file.write_text(f"# moved\n\n{file.read_text()}notes: and explained\n")
        (noted,) = load_specs([file]).cases
        file.write_text(f"{file.read_text()}seed: 4\n")
        (seeded,) = load_specs([file]).cases
        assert hash_case(noted) == hash_case(first) != hash_case(seeded)

"""With a list of allowed modules, specs name functions of these and nothing else, whatever they try."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradaudit.spec.errors import SpecError
from gradaudit.spec.expand import Overrides
from gradaudit.spec.load import load_specs

OPS = """
import os
from os import system
from textwrap import dedent
from package.inner import cube

def square(x):
    return x * x

class Layer:
    inherited = staticmethod(os.system)

    def forward(self, x):
        return x

class Doubled(Base):
    def forward(ctx, x):
        return 2 * x

    def backward(ctx, u):
        return 2 * u

doubled = again = Doubled.apply
twice = lambda x: 2 * x
renamed = os.system
made = partial(os.system)
circle = round_about
round_about = circle
square_or_not = square
square_or_not = os.system
"""


@pytest.fixture
def package(folder: Path) -> Path:
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    (folder / "package" / "ops.py").write_text(OPS)
    (folder / "package" / "inner.py").write_text("def cube(x):\n    return x**3\n")
    (folder / "specs").mkdir()
    return folder


def loaded(folder: Path, target: str, *allow: str) -> Path:
    """Load a spec whose target is on its third line; return the folder that its modules are looked for in."""
    text = f"op: op\ntarget:\n  {target}\ninputs: {{x: {{shape: [2]}}}}\n"
    (folder / "specs" / "spec.yaml").write_text(text)
    (case,) = load_specs([folder / "specs"], Overrides(allow=allow)).cases
    return case.target.folder


@pytest.mark.parametrize(
    "name",
    [
        "package.ops:square",
        "package.ops:cube",
        "package.ops:Layer.forward",
        "package.ops:Doubled.apply",
        "package.ops:doubled",
        "package.ops:again",
        "package.ops:twice",
    ],
)
def test_what_is_defined_in_an_allowed_module_may_be_named(package: Path, name: str) -> None:
    assert loaded(package, f"{{forward: '{name}', backward: 'package.ops:square'}}", "package") == package


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("forward: os:system", "'os:system' is not allowed: expected a function of package"),
        ("torch: subprocess:run", "'subprocess:run' is not allowed"),
        ("forward: package.ops:dedent", "'package.ops:dedent' is not allowed: it is defined in textwrap"),
        ("forward: package.ops:system", "'package.ops:system' is not allowed: its definition was not found"),
        ("forward: package.ops:os.system", "'package.ops:os.system' is not allowed: its definition was not found"),
        ("forward: package.ops:renamed", "package.ops defines no function of that name"),
        ("forward: package.ops:made", "package.ops defines no function of that name"),
        ("forward: package.ops:circle", "package.ops defines no function of that name"),
        ("forward: package.ops:square_or_not", "package.ops defines no function of that name"),
        ("forward: package.ops:Layer.inherited", "package.ops defines no function of that name"),
        ("forward: package.ops:Layer.apply", "package.ops defines no function of that name"),
        ("forward: package.ops:square.__class__", "package.ops defines no function of that name"),
        ("forward: package.absent:square", "its definition was not found"),
        ("forward: packages.ops:square", "'packages.ops:square' is not allowed"),
        ("forward: packag\u0301e:square", "'packag\u0301e:square' is not allowed"),
        ("process: {command: [sh, -c, id], op: op}", "target: found one that starts a process"),
    ],
)
def test_what_is_not_is_refused_by_its_line(package: Path, target: str, said: str) -> None:
    backward = "" if target.startswith(("torch", "process")) else "\n  backward: package.ops:square"
    with pytest.raises(SpecError) as raised:
        loaded(package, target + backward, "package")
    (problem,) = raised.value.problems
    assert said in problem.message
    assert problem.location.line in (2, 3)
    assert problem.location.file.name == "spec.yaml"


def test_a_module_beside_the_spec_does_not_pass_for_an_allowed_one(package: Path) -> None:
    (package / "specs" / "other.py").write_text("def square(x):\n    return x\n")
    with pytest.raises(SpecError, match="its definition was not found"):
        loaded(package, "{forward: 'other:square', backward: 'other:square'}", "other")


def test_an_empty_list_allows_nothing(package: Path) -> None:
    with pytest.raises(SpecError, match=r"'package\.ops:square' is not allowed"):
        loaded(package, "{forward: 'package.ops:square', backward: 'package.ops:square'}")


def test_with_an_empty_list_nothing_may_be_named(package: Path) -> None:
    with pytest.raises(SpecError, match="expected a function of no module at all"):
        loaded(package, "{forward: 'package.ops:square', backward: 'package.ops:square'}", "")

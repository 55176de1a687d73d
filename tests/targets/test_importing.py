"""Reaching functions by name: from the current folder, the spec's own, and what is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError

ORIGIN = "def where():\n    return {!r}\n"


@pytest.fixture(autouse=True)
def _imports_undone() -> Iterator[None]:
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, empty."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def spec_folder(tmp_path: Path) -> Path:
    """Return a folder that holds a spec, empty."""
    folder = tmp_path / "specs"
    folder.mkdir()
    return folder


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text))
    return file


def said(name: str, folder: Path) -> str:
    with pytest.raises(OpError) as caught:
        import_function(name, folder)
    return str(caught.value)


class TestWhereModulesAreFound:
    def test_in_the_current_folder(self, here: Path, spec_folder: Path) -> None:
        write(here / "lonely_kernels.py", ORIGIN.format("here"))
        assert import_function("lonely_kernels:where", spec_folder)() == "here"

    def test_in_the_spec_s_own_folder(self, here: Path, spec_folder: Path) -> None:
        write(spec_folder / "lonely_kernels.py", ORIGIN.format("spec"))
        assert import_function("lonely_kernels:where", spec_folder)() == "spec"

    def test_the_current_folder_comes_first(self, here: Path, spec_folder: Path) -> None:
        write(here / "shared_kernels.py", ORIGIN.format("here"))
        write(spec_folder / "shared_kernels.py", ORIGIN.format("spec"))
        assert import_function("shared_kernels:where", spec_folder)() == "here"

    def test_among_what_is_installed(self, here: Path, spec_folder: Path) -> None:
        import math

        assert import_function("math:sqrt", spec_folder) is math.sqrt

    def test_in_a_package(self, here: Path, spec_folder: Path) -> None:
        write(spec_folder / "packed" / "__init__.py", "")
        write(spec_folder / "packed" / "inner" / "__init__.py", "")
        write(spec_folder / "packed" / "inner" / "kernels.py", ORIGIN.format("inner"))
        assert import_function("packed.inner.kernels:where", spec_folder)() == "inner"

    def test_beside_each_other(self, here: Path, spec_folder: Path) -> None:
        write(spec_folder / "base_kernels.py", ORIGIN.format("base"))
        write(spec_folder / "derived_kernels.py", "from base_kernels import where\n")
        assert import_function("derived_kernels:where", spec_folder)() == "base"

    def test_an_attribute_of_an_attribute(self, here: Path, spec_folder: Path) -> None:
        source = """
        class Relu:
            class inner:
                @staticmethod
                def forward(x):
                    return x
        """
        write(spec_folder / "classy_kernels.py", source)
        assert import_function("classy_kernels:Relu.inner.forward", spec_folder)(3) == 3

    def test_a_module_is_run_once(self, here: Path, spec_folder: Path) -> None:
        write(spec_folder / "costly_kernels.py", "def a(): ...\ndef b(): ...\n")
        first = import_function("costly_kernels:a", spec_folder)
        again = import_function("costly_kernels:a", spec_folder)
        assert first is again
        assert first.__globals__ is import_function("costly_kernels:b", spec_folder).__globals__


class TestNamesakes:
    @pytest.mark.parametrize(
        "layout", ["{}/kernels_of_two.py", "{}/kernels_of_two/__init__.py"], ids=["file", "package"]
    )
    def test_each_folder_gets_its_own(self, here: Path, tmp_path: Path, layout: str) -> None:
        for name in ("a", "b"):
            write(tmp_path / layout.format(name), ORIGIN.format(name))
        found = [import_function("kernels_of_two:where", tmp_path / name)() for name in ("a", "b", "a", "b", "b")]
        assert found == ["a", "b", "a", "b", "b"]

    @pytest.mark.parametrize("marker", ["__init__.py", None], ids=["package", "plain folder"])
    def test_each_folder_gets_its_own_submodule(self, here: Path, tmp_path: Path, marker: str | None) -> None:
        for name in ("a", "b"):
            write(tmp_path / name / "family" / "kernels.py", ORIGIN.format(name))
            if marker:
                write(tmp_path / name / "family" / marker, "")
        found = [import_function("family.kernels:where", tmp_path / name)() for name in ("a", "b", "a")]
        assert found == ["a", "b", "a"]

    def test_what_is_next_to_them_as_well(self, here: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            write(tmp_path / name / "constants_of_two.py", f"NAME = {name!r}\n")
            write(
                tmp_path / name / f"kernels_of_{name}.py",
                "from constants_of_two import NAME\ndef where(): return NAME\n",
            )
        found = [import_function(f"kernels_of_{name}:where", tmp_path / name)() for name in ("a", "b")]
        assert found == ["a", "b"]

    def test_functions_of_the_first_still_work_after_the_second(self, here: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            write(tmp_path / name / "stateful_kernels.py", f"NAME = {name!r}\ndef where(): return NAME\n")
        first = import_function("stateful_kernels:where", tmp_path / "a")
        import_function("stateful_kernels:where", tmp_path / "b")
        assert first() == "a"

    def test_this_package_has_none(self, here: Path, spec_folder: Path) -> None:
        """In a checkout of it the current folder holds another copy of what this process runs."""
        from gradaudit.ops.activation import relu

        write(here / "gradaudit" / "__init__.py", "")
        assert import_function("gradaudit.ops.activation:relu", spec_folder) is relu
        assert sys.modules["gradaudit.ops.activation"].relu is relu


class TestWhatIsMissing:
    def test_a_module(self, here: Path, spec_folder: Path) -> None:
        message = said("no_such_kernels_anywhere:forward", spec_folder)
        assert message == "there is no module 'no_such_kernels_anywhere'"

    @pytest.mark.parametrize("place", ["here", "specs"])
    def test_a_module_with_a_neighbour_of_almost_its_name(self, here: Path, spec_folder: Path, place: str) -> None:
        write(here.parent / place / "softmax_kernels.py", "")
        message = said("sotfmax_kernels:forward", spec_folder)
        assert message == "there is no module 'sotfmax_kernels'; did you mean 'softmax_kernels'?"

    def test_a_submodule(self, here: Path, spec_folder: Path) -> None:
        message = said("gradaudit.ops.activatoin:relu", spec_folder)
        assert message == "there is no module 'gradaudit.ops.activatoin'; did you mean 'gradaudit.ops.activation'?"

    def test_a_package_in_the_middle(self, here: Path, spec_folder: Path) -> None:
        message = said("gradaudit.opps.activation:relu", spec_folder)
        assert message == "there is no module 'gradaudit.opps'; did you mean 'gradaudit.ops'?"

    def test_a_submodule_of_a_plain_module(self, here: Path, spec_folder: Path) -> None:
        write(spec_folder / "flat_kernels.py", "")
        assert "flat_kernels.inner" in said("flat_kernels.inner:forward", spec_folder)

    def test_a_function(self, here: Path, spec_folder: Path) -> None:
        message = said("gradaudit.ops.activation:relu_bakward", spec_folder)
        assert message == "module 'gradaudit.ops.activation' has no 'relu_bakward'; did you mean 'relu_backward'?"

    def test_a_method(self, here: Path, spec_folder: Path) -> None:
        write(spec_folder / "class_kernels.py", "class Relu:\n    def forward(x): ...\n")
        assert "has no 'forwad'; did you mean 'forward'?" in said("class_kernels:Relu.forwad", spec_folder)

    def test_what_is_not_a_function(self, here: Path, spec_folder: Path) -> None:
        assert said("math:pi", spec_folder) == "'math:pi' is not a function: found float"

    def test_a_module_that_the_module_imports_is_an_exception_of_the_module(
        self, here: Path, spec_folder: Path
    ) -> None:
        file = write(spec_folder / "needy_kernels.py", "import no_such_dependency\n")
        message = said("needy_kernels:forward", spec_folder)
        assert message.startswith("importing 'needy_kernels' raised ModuleNotFoundError")
        assert "no_such_dependency" in message
        assert f"{file}:1" in message


class TestModulesThatCannotBeImported:
    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("SCALE = 1 / 0\n", ["raised ZeroDivisionError: division by zero", ":1, in <module>: SCALE = 1 / 0"]),
            ("raise RuntimeError('no GPU')\n", ["raised RuntimeError: no GPU", ":1, in <module>"]),
            ("import sys\nsys.exit(4)\n", ["called sys.exit(4)", ":2, in <module>: sys.exit(4)"]),
            ("def forward(x):\nreturn x\n", ["raised IndentationError", "line 2"]),
            ("def forward(x:\n", ["raised SyntaxError", "line 1"]),
        ],
        ids=["division", "raise", "exit", "indentation", "syntax"],
    )
    def test_the_cause_and_the_line_are_shown(
        self, here: Path, spec_folder: Path, source: str, words: list[str]
    ) -> None:
        write(spec_folder / "broken_kernels.py", source)
        message = said("broken_kernels:forward", spec_folder)
        assert message.startswith("importing 'broken_kernels' ")
        assert [word for word in [*words, "broken_kernels.py"] if word not in message] == []
        assert "importlib" not in message

    def test_one_that_was_broken_can_be_imported_once_mended(self, here: Path, tmp_path: Path) -> None:
        write(tmp_path / "a" / "mended_kernels.py", "raise ValueError\n")
        said("mended_kernels:where", tmp_path / "a")
        write(tmp_path / "b" / "mended_kernels.py", ORIGIN.format("b"))
        assert import_function("mended_kernels:where", tmp_path / "b")() == "b"


def test_importing_keeps_every_other_entry_of_the_path(here: Path, spec_folder: Path) -> None:
    before = [entry for entry in sys.path if entry]
    import_function("math:sqrt", spec_folder)
    import_function("math:sqrt", spec_folder)
    after: list[Any] = sys.path
    assert after[:2] == [str(here), str(spec_folder)]
    assert [entry for entry in after if entry not in (str(here), str(spec_folder))] == before

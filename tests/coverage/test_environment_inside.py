"""A virtual environment in the project's own folder is none of its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradaudit.source.reach import reach_finder


def test_what_is_installed_in_the_project_s_folder_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages"
    installed.mkdir(parents=True)
    for file in (installed / "borrowed_relu.py", tmp_path / "written_relu.py"):
        file.write_text("def relu(x):\n    return x\n")
    monkeypatch.syspath_prepend(str(installed))
    modules = reach_finder([tmp_path])(["written_relu:relu"], tmp_path).modules
    written, borrowed = modules.locate("written_relu:relu"), modules.locate("borrowed_relu:relu")
    assert written is not None
    assert borrowed is not None
    assert (written.module.own, borrowed.module.own) == (True, False)

"""Which files are read: folders walked recursively, single files, and paths that lead nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from spec_text import HEAD, spec

from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs, selected
from gradaudit.spec.select import SelectionError, parse_selection


def write(file: Path, op: str, rest: str = "") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(spec(head=HEAD.replace("gelu", op), rest=rest))


def ops(*paths: Path) -> list[str]:
    return [case.op for case in load_specs(paths).cases]


def refused(*paths: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_specs(paths)
    return str(caught.value).splitlines()


def test_folders_are_walked_to_any_depth_in_the_order_of_their_names(tmp_path: Path) -> None:
    for op in ("loss/b", "loss/a", "activation/deep/er/d", "activation/c", "z"):
        write(tmp_path / f"{op}.yaml", op.rsplit("/", 1)[-1])
    assert ops(tmp_path) == ["c", "d", "a", "b", "z"]


def test_both_suffixes_are_specs_and_nothing_else_is(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "a")
    write(tmp_path / "b.yml", "b")
    for name in ("c.json", "d.yaml.bak", "yaml", ".hidden.yaml", ".git/e.yaml", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("not a spec: [")
    assert ops(tmp_path) == ["a", "b"]


def test_a_file_is_read_whatever_its_name_and_the_paths_keep_their_order(tmp_path: Path) -> None:
    write(tmp_path / "b.spec", "b")
    write(tmp_path / "a.yaml", "a")
    assert ops(tmp_path / "b.spec", tmp_path / "a.yaml") == ["b", "a"]


def test_a_file_that_several_paths_lead_to_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "loss" / "a.yaml", "a")
    (tmp_path / "loss" / "same.yaml").symlink_to(tmp_path / "loss" / "a.yaml")
    monkeypatch.chdir(tmp_path)
    assert ops(Path("loss"), tmp_path / "loss" / "a.yaml", Path("loss/../loss"), tmp_path) == ["a"]


def test_the_module_is_the_folders_name_unless_the_spec_names_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "loss" / "a.yaml", "a")
    write(tmp_path / "loss" / "b.yaml", "b", "module: activation")
    assert [case.module for case in load_specs([tmp_path]).cases] == ["loss", "activation"]
    monkeypatch.chdir(tmp_path / "loss")
    assert [case.module for case in load_specs([Path("a.yaml")]).cases] == ["loss"]


def test_targets_know_the_folder_of_their_spec(tmp_path: Path) -> None:
    write(tmp_path / "loss" / "a.yaml", "a")
    (case,) = load_specs([tmp_path]).cases
    assert case.target.folder == (tmp_path / "loss").resolve()


def test_a_folder_without_specs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    (line,) = refused(tmp_path / "empty")
    assert line == f"{tmp_path / 'empty'}:1:1: holds no specs: expected .yaml or .yml files in this folder or below"


def test_a_missing_path_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path / "softmax.yaml", "softmax")
    assert refused(tmp_path / "sofmax.yaml") == [
        f"{tmp_path / 'sofmax.yaml'}:1:1: does not exist; did you mean 'softmax.yaml'?"
    ]
    assert refused(tmp_path / "no" / "where") == [f"{tmp_path / 'no' / 'where'}:1:1: does not exist"]


def test_a_path_too_long_to_exist_does_not_exist(tmp_path: Path) -> None:
    (line,) = refused(tmp_path / ("a" * 5000))
    assert line.endswith("does not exist")


def test_every_missing_path_is_told_beside_the_mistakes_of_the_others(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "a", "sede: 1")
    lines = refused(tmp_path / "y", tmp_path / "a.yaml", tmp_path / "x")
    assert [os.path.basename(line.split(":")[0]) for line in lines] == ["a.yaml", "x", "y"]


def test_selected_keeps_the_cases_that_match_and_refuses_to_audit_none(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "a", "cases: [{name: wide}, {name: tall}]")
    specs = load_specs([tmp_path])
    assert [case.name for case in selected(specs, parse_selection("tall")).cases] == ["tall"]
    with pytest.raises(SelectionError, match="selects none of the 2 cases"):
        selected(specs, parse_selection("round"))

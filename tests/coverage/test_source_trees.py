"""Walking source trees: what is passed over, and what must not end the search."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gradaudit.coverage import discover as walking
from gradaudit.coverage.discover import discover
from gradaudit.coverage.passes import Discovery
from gradaudit.coverage.pattern_passes import PatternError, compiled_patterns

PASS = "def {}_backward(g, x):\n    return g\n"


def write(folder: Path, *names: str) -> None:
    """Write files, each with a backward pass called like it."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PASS.format(path.stem))


def search(folder: Path, *sources: Path, ignore: tuple[str, ...] = ()) -> Discovery:
    return discover(sources or [folder], compiled_patterns({}), ignore, folder)


def ops(found: Discovery) -> list[str]:
    return [one.op for one in found.passes]


def test_all_files_in_a_stable_order(tmp_path: Path) -> None:
    write(tmp_path, "b/z.py", "b/a.py", "a/c.py", "top.py")
    (tmp_path / "k.mojo").write_text("fn k_backward(g: T)\n")
    assert [one.place for one in search(tmp_path).passes] == [
        "a/c.py:1",
        "b/a.py:1",
        "b/z.py:1",
        "k.mojo:1",
        "top.py:1",
    ]


def test_what_is_built_or_hidden_or_a_test_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "kept.py", "build/a.py", ".git/b.py", "x/__pycache__/c.py", "tests/d.py", "test_e.py", "venv/f.py")
    assert ops(search(tmp_path)) == ["kept"]


def test_what_is_ignored(tmp_path: Path) -> None:
    write(tmp_path, "kept.py", "vendored/a.py", "old/b.py", "c.py", "d.py")
    assert ops(search(tmp_path, ignore=("vendored", "old/*", "c.py", "d_*"))) == ["kept"]
    assert "kept" not in ops(search(tmp_path, ignore=("kept",)))


def test_links_are_searched_once_and_never_in_circles(tmp_path: Path) -> None:
    write(tmp_path, "a/one.py")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "a" / "again.py").symlink_to(tmp_path / "a" / "one.py")
    (tmp_path / "a" / "nowhere.py").symlink_to(tmp_path / "gone.py")
    (tmp_path / "a" / "itself.py").symlink_to(tmp_path / "a" / "itself.py")
    assert ops(search(tmp_path)) == ["one"]
    assert ops(search(tmp_path, tmp_path, tmp_path / "a")) == ["one"]


def test_a_file_that_cannot_be_searched_does_not_end_the_search(tmp_path: Path) -> None:
    write(tmp_path, "good.py")
    (tmp_path / "broken.py").write_text("def f_backward(:\n")
    (tmp_path / "binary.py").write_bytes(b"\x7fELF\0\0backward\0")
    (tmp_path / "pipe_backward.py").mkdir()
    os.mkfifo(tmp_path / "fifo.py")
    found = search(tmp_path)
    assert ops(found) == ["good"]
    assert [trouble.file.name for trouble in found.troubles] == ["binary.py", "broken.py"]


def test_a_file_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "MAX_SOURCE", 30)
    write(tmp_path, "large_file_with_a_long_name.py", "s.py")
    (tmp_path / "s.py").write_text("def s_backward(g): return g")
    found = search(tmp_path)
    assert ops(found) == ["s"]
    assert "was not searched" in found.troubles[0].reason


def test_a_pattern_that_is_too_slow_everywhere_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradaudit.coverage.pattern_passes.TIME_LIMIT", 0.02)
    for k in range(5):
        (tmp_path / f"{k}.x").write_text("a" * 60 + "!")
    patterns = compiled_patterns({"*.x": r"(?P<op>(a+)+)$"})
    assert len(discover([tmp_path / "0.x"], patterns).troubles) == 1
    with pytest.raises(PatternError, match=r"3 files ran out of time.*2\.x"):
        discover([tmp_path], patterns)


def test_progress_counts_the_files(tmp_path: Path) -> None:
    write(tmp_path, *(f"f{k}.py" for k in range(5)))
    seen: list[int] = []
    discover([tmp_path], (), progress=seen.append)
    assert seen == [1, 2, 3, 4, 5]


def test_a_source_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        search(tmp_path, tmp_path / "nowhere")

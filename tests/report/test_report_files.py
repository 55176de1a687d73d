"""Report files appear whole under their name, or not at all; what cannot be written is refused before the work."""

from __future__ import annotations

import os
import stat

import pytest

from gradaudit.report.files import AtomicFile, UnwritableError, are_one


def test_it_appears_when_it_is_written(tmp_path) -> None:
    file = AtomicFile(str(tmp_path / "report.json"))
    assert not (tmp_path / "report.json").exists()
    file.write("all of it: é\n")
    assert (tmp_path / "report.json").read_bytes() == "all of it: é\n".encode()
    assert os.listdir(tmp_path) == ["report.json"]


def test_what_was_there_stays_until_then(tmp_path) -> None:
    (tmp_path / "report.json").write_text("old")
    file = AtomicFile(str(tmp_path / "report.json"))
    assert (tmp_path / "report.json").read_text() == "old"
    file.write("new")
    assert (tmp_path / "report.json").read_text() == "new"


def test_one_that_is_never_written_leaves_no_trace(tmp_path) -> None:
    (tmp_path / "report.json").write_text("old")
    AtomicFile(str(tmp_path / "report.json"))
    assert (tmp_path / "report.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_two_names_of_one_file(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.json").touch()
    (tmp_path / "link.json").symlink_to("here.json")
    assert are_one("new.xml", "./new.xml")
    assert are_one("here.json", "link.json")
    assert are_one("-", "-")
    assert not are_one("here.json", "new.xml")
    assert not are_one("-", "./-")


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch) -> None:
    (tmp_path / "report.json").write_text("old")
    file = AtomicFile(str(tmp_path / "report.json"))

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UnwritableError, match=r"^cannot write .*report\.json: No space left on device$"):
        file.write("new")
    assert (tmp_path / "report.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_it_may_be_read_by_whom_the_umask_allows(tmp_path) -> None:
    before = os.umask(0o027)
    try:
        AtomicFile(str(tmp_path / "report.json")).write("new")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.json").stat().st_mode) == 0o640


def test_folders_on_the_way_are_made(tmp_path) -> None:
    AtomicFile(str(tmp_path / "a" / "b" / "report.json")).write("new")
    assert (tmp_path / "a" / "b" / "report.json").read_text() == "new"


def test_a_link_stays_a_link(tmp_path) -> None:
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("real.json")
    AtomicFile(str(tmp_path / "link.json")).write("new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"


def test_a_device_is_written_not_replaced(tmp_path) -> None:
    file = AtomicFile("/dev/null")
    file.write("gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_full_device_is_an_error_in_words() -> None:
    with pytest.raises(UnwritableError, match=r"^cannot write /dev/full: No space left on device$"):
        AtomicFile("/dev/full").write("x")


def test_a_dash_is_standard_output(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = AtomicFile("-")
    file.write("to stdout\n")
    assert capsys.readouterr().out == "to stdout\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (".", "it is a folder"),
        ("file/below", "(Not a directory|File exists)"),
        ("x" * 300, "File name too long"),
        ("nul\x00byte", "embedded null"),
    ],
)
def test_impossible_places_are_refused_at_once(place: str, reason: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnwritableError, match=f"^cannot write .*: {reason}"):
        AtomicFile(place)
    assert os.listdir(tmp_path) == ["file"]

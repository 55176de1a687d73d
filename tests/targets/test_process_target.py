"""Child processes that answer, and those that end, hang, print, flood or err: each in words, none for ever."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import gradaudit
from gradaudit.engine.audit import audit_case
from gradaudit.explain.signature import signature_of
from gradaudit.results import Result
from gradaudit.spec.case import Case
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs
from gradaudit.targets import open_op, process_points
from gradaudit.targets.op import LostOpError, OpError
from gradaudit.targets.process_points import ProcessOpOfMany

CHILD = [sys.executable, "-S", str(Path(__file__).with_name("misbehaving_child.py"))]
X = np.array([1.0, -2.0, 3.0])


def case_of(folder: Path, op: str, command: list[str] = CHILD, seconds: float = 30.0, **keys: Any) -> Case:
    document = {
        "op": "square",
        "target": {"process": {"command": command, "op": op, "timeout": seconds}} | keys.pop("target", {}),
        "inputs": {"x": {"shape": [3], "range": [0.5, 1.5]}},
        "method": "exhaustive",
    }
    file = folder / "square.yaml"
    file.write_text(yaml.safe_dump(document | keys, sort_keys=False))
    (case,) = load_specs([file]).cases
    return case


def result_of(folder: Path, op: str, *args: Any, **keys: Any) -> Result:
    (result,) = audit_case(case_of(folder, op, *args, **keys)).results
    return result


def gone(folder: Path, name: str = "child") -> bool:
    """Whether the process that left its number there has ended, or is about to."""
    number = int((folder / name).read_text())
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
            os.kill(number, 0)
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_one_child_answers_for_the_whole_case_and_is_told_to_exit(tmp_path: Path) -> None:
    result = result_of(tmp_path, "right")
    assert (result.verdict, result.checked, result.findings) == ("pass", 3, ())
    assert (tmp_path / "told to exit").exists()
    assert gone(tmp_path)


def test_it_runs_in_the_folder_of_the_spec(tmp_path: Path) -> None:
    (tmp_path / "child.sh").write_text(f"#!/bin/sh\nexec {' '.join(CHILD)}\n")
    (tmp_path / "child.sh").chmod(0o755)
    assert result_of(tmp_path, "right", ["./child.sh"]).verdict == "pass"
    assert result_of(tmp_path, "right", ["sh", "child.sh"]).verdict == "pass"


ERRORS = {
    "crash": "the process crashed with SIGSEGV instead of answering forward",
    "crash later": "the process crashed with SIGSEGV instead of answering forward",
    "leave": "exit status 3 instead of answering forward\n  its last lines on stderr:\n    cannot find the weights",
    "leave later": "the process ended with exit status 3 instead of answering forward\n  its last lines on stderr:",
    "print": "the process's answer to forward is no message: it begins with b'Listenin'; expected a header's length",
    "print and leave": "exit status 0 instead of answering forward: it wrote b'hi\\n' to standard output",
    "no JSON": "its header is not JSON",
    "a list": "its header is not a JSON object; found b'[1, 2,3]'",
    "no dtype": "output[0] has the dtype 'F8_E4M3'; expected one of BOOL, U8",
    "wrong offsets": "output[0]: F64 of shape [1] takes 8 bytes, its data_offsets [0, 4] span 4",
    "a gap": "output[0] begins at byte 8 of the data; expected 0",
    "no shape": 'output[0] needs dtype, shape and data_offsets [begin, end]; found {"dtype": "F64"}',
    "half": "exit status 0 instead of answering forward: 7 of 16 bytes of the answer's data came",
    "numbers in metadata": '__metadata__ must hold texts only; found {"error": 3}',
    "nothing": "forward's answer has no floating array output[0] to differentiate; found nothing",
    "misnamed": "forward's answer has no floating array output[0] to differentiate; found y: float64",
    "integers": "forward's answer has no floating array output[0] to differentiate; found output[0]: int64",
    "two": "is no message: before it was asked for, b'",
    "an error": "forward answered with an error: the weights are gone",
    "misnamed gradient": "backward answered a gradient of 'xx', which is no input; did you mean 'x'?",
    "unknown": "describe answered with an error: there is no op unknown",
    "another protocol": "the process answers describe with protocol '2'; expected '1'",
    "no protocol": "the process answers describe with protocol None; expected '1'",
    "wrong args": "the process names 'upstreem' among backward's args",
    "no list": "the process describes the op with args 'upstream'; expected a JSON list such as",
    "counts output -1": "the process says that output -1 counts; positions begin at 0",
    "counts output 4": "output 4 counts, but forward answered output[0]: float64",
    "counts output 0 twice": "the process counts outputs [0, 0]; expected each position once",
    "counts nothing": "the process counts no output; expected each position once, and at least one",
    "lists in lists": "the process describes the op with args '[[[[",
    "no word": "describe answered with an error: without a word",
    "elements beyond number": "output[0] has the shape [0, 1000000000000000000000000000000], more than any array",
    "axes beyond number": "output[0] has the shape [1, 1, 1, 1, 1, 1,",
    "a gap in names": "forward answered 'output[2]'; expected output[0] and output[1] next",
    "no points": "the process describes the op with points '0'; expected a whole number such as 64",
    "points in words": "the process describes the op with points 'as many as you like'; expected a whole number",
    "several, crash": "the process crashed with SIGSEGV instead of answering forward",
    "several, leave": "the process ended with exit status 3 instead of answering forward\n  its last lines on stderr:",
    "several, half": "exit status 0 instead of answering forward: 183 of 192 bytes of the answer's data came",
    "several, nothing": "forward's answer has no floating array output[0] to differentiate; found nothing",
    "several, the first only": "for 8 points and answered output[0] of shape (3,); expected a first axis of 8",
    "several, the first axis last": "answered output[0] of shape (3, 8); expected a first axis of 8",
    "several, one too few": "answered output[0] of shape (7, 3); expected a first axis of 8",
    "several, float32": "forward returned float32 of shape (3,) at a perturbed input, float64 of shape (3,) before",
}


@pytest.mark.parametrize("op", ERRORS)
def test_what_goes_wrong_is_an_error_in_words(tmp_path: Path, op: str) -> None:
    result = result_of(tmp_path, op)
    assert result.verdict == "error"
    assert ERRORS[op] in result.message
    assert gone(tmp_path)


@pytest.mark.parametrize("op", ["hang", "hang later", "several, hang"])
def test_a_child_that_hangs_is_given_up(tmp_path: Path, op: str) -> None:
    result = result_of(tmp_path, op, seconds=0.5)
    assert result.verdict == "error"
    assert "the process gave no answer to forward within 0.5 s" in result.message
    assert gone(tmp_path)


def test_a_child_that_answers_before_it_has_read_the_message_is_told_so(tmp_path: Path) -> None:
    result = result_of(tmp_path, "unread", seconds=1.0, inputs={"x": {"shape": [300_000]}})
    assert "within 1 s: the whole answer came, but the message was not read to its end" in result.message


def test_a_child_that_has_forked_and_left_answers_on(tmp_path: Path) -> None:
    command = [CHILD[0], "-c", f"import os; os.fork() and os._exit(0); os.execv({CHILD[0]!r}, {CHILD!r})"]
    assert result_of(tmp_path, "right", command).verdict == "pass"
    assert gone(tmp_path)


def test_what_a_child_has_started_ends_with_it(tmp_path: Path) -> None:
    assert result_of(tmp_path, "start another", seconds=0.5).verdict == "error"
    assert gone(tmp_path, "grandchild")


def same(first: Result, second: Result) -> bool:
    """Whether two results say the same, but for the op's name, the time, and the points that were confirmed."""
    spared = {"op": "", "seconds": 0.0, "evaluations": 0, "forwards": 0}
    assert first.evaluations == second.evaluations + 4  # of the survey's nine, and of twelve
    return repr(replace(first, **spared)) == repr(replace(second, **spared))


def test_several_points_in_a_message_change_nothing_but_the_number_of_messages(tmp_path: Path) -> None:
    alone = result_of(tmp_path, "right")
    assert same(result_of(tmp_path, "several, right", seconds=3600.0), alone)
    assert (tmp_path / "points").read_text() == "8x 8x 4x "  # of a survey's nine the last one goes alone


def test_a_child_that_takes_only_one_point_after_all_is_asked_for_one_at_a_time(tmp_path: Path) -> None:
    alone = result_of(tmp_path, "right")
    assert same(result_of(tmp_path, "several, an error"), alone)
    zeros = result_of(tmp_path, "several, zeros")
    assert zeros.message.startswith("called for one point at a time: outputs of forward for several points at once")
    assert (zeros.verdict, zeros.findings) == (alone.verdict, alone.findings)


def test_points_are_as_many_as_there_is_time_and_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    op = open_op(case_of(tmp_path, "several, right", seconds=3600.0))
    assert isinstance(op, ProcessOpOfMany)
    points = np.arange(60.0).reshape(20, 3)
    squares = [(point.tolist(),) for point in points**2]

    def asked_for() -> str:
        (tmp_path / "points").unlink(missing_ok=True)
        made = op.forward_many({"x": X}, "x", points)
        assert [tuple(out.tolist() for out in outputs or ()) for outputs in made] == squares
        return (tmp_path / "points").read_text()

    op.forward({"x": X})
    assert asked_for() == "8x 8x 4x "
    monkeypatch.setattr(process_points, "MESSAGE", 5 * X.nbytes)
    assert asked_for() == "5x 5x 5x 5x "
    op.pace.seconds = 200.0  # of an hour that an answer may take: one by itself shows that it has become faster
    assert asked_for() == "5x 5x 5x 4x "


def test_a_child_that_hangs_ends_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere a child ends when it reads the end of its input")
    case_of(tmp_path, "hang", seconds=3600.0)
    command = [sys.executable, "-m", "gradaudit", "run", "square.yaml", "--timeout", "1", "-j", "1"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert "exceeded its time limit of 1 s" in done.stdout
    assert gone(tmp_path)


def test_however_much_it_writes_to_stderr_it_is_heard_out(tmp_path: Path) -> None:
    assert result_of(tmp_path, "flood").verdict == "pass"
    endless = result_of(tmp_path, "flood for ever", seconds=0.5)
    assert endless.verdict == "error"
    assert re.search(
        r"no answer to forward within 0.5 s\n.*\n(    line \d+ of what nobody .*\n?){2,8}", endless.message
    )
    assert gone(tmp_path)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    missing = result_of(tmp_path, "right", ["./serve"])
    assert missing.message == f"the process cannot be started: there is no program './serve' in {tmp_path}"
    assert "no program 'no-such-program' on the path" in result_of(tmp_path, "right", ["no-such-program"]).message
    (tmp_path / "serve").write_bytes(b"\x7fELF that is none")
    (tmp_path / "serve").chmod(0o755)
    assert "on the path; did you mean './serve'?" in result_of(tmp_path, "right", ["serve"]).message
    assert "embedded null byte" in result_of(tmp_path, "right", ["./serve", "\0"]).message
    assert "serve: " in result_of(tmp_path, "right", ["./serve"]).message


def test_a_program_that_reads_nothing(tmp_path: Path) -> None:
    assert "exit status 0 instead of answering describe" in result_of(tmp_path, "right", ["true"]).message
    silent = result_of(tmp_path, "right", ["sleep", "60"], seconds=0.3)
    assert "gave no answer to describe within 0.3 s" in silent.message


def test_once_lost_it_is_not_asked_again(tmp_path: Path) -> None:
    op = open_op(case_of(tmp_path, "crash later"))
    for _ in range(3):
        op.forward({"x": X})
    for _ in range(2):
        with pytest.raises(LostOpError, match="SIGSEGV"):
            op.forward({"x": X})


def test_an_error_is_the_ops_own_and_the_child_goes_on(tmp_path: Path) -> None:
    op = open_op(case_of(tmp_path, "an error"))
    for _ in range(2):
        with pytest.raises(OpError, match="the weights are gone"):
            op.forward({"x": X})


def test_backward_is_sent_what_it_takes(tmp_path: Path) -> None:
    op = open_op(case_of(tmp_path, "right"))
    (output,) = op.forward({"x": X})
    assert op.backward((X,), {"x": X}, (output,))["x"].tolist() == [2.0, 8.0, 18.0]
    assert (tmp_path / "sent").read_text() == "output[0] upstream[0] x"
    op = open_op(case_of(tmp_path, "narrow args"))
    op.backward((X,), {"x": X}, op.forward({"x": X}))
    assert (tmp_path / "sent").read_text() == "upstream[0] x"


def test_a_layer_may_lean_on_its_forward_where_it_says_so(tmp_path: Path) -> None:
    result = result_of(tmp_path, "layer")
    assert (result.verdict, result.findings) == ("pass", ())
    assert (tmp_path / "sent").read_text() == "upstream[0]"


def test_what_cannot_be_sent_is_an_error(tmp_path: Path) -> None:
    infinite = result_of(tmp_path, "right", params={"scale": float("inf")})
    assert "the params cannot be sent to a process" in infinite.message
    double = result_of(tmp_path, "right", dtype="complex128")
    assert double.message == "forward cannot be asked for: x is complex128, which the format of messages does not have"


def test_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    gradaudit.check(gradaudit.process_op(CHILD, "right"), {"x": X}).assert_ok()
    with pytest.raises(gradaudit.GradientMismatch, match="there is no op unknown"):
        gradaudit.check(gradaudit.process_op(CHILD, "unknown"), {"x": X}).assert_ok()


def test_from_python_with_what_cannot_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    op = gradaudit.process_op(CHILD, "right")
    (halved,) = gradaudit.check(op, {"x": X}, params={"scale": "\ud83d"}).results
    assert "'\\ud83d' is no character: texts and names are sent in UTF-8" in halved.message
    (named,) = gradaudit.check(op, {"x": X, "__metadata__": X}, differentiable=["x"]).results
    assert "an array cannot be named __metadata__, which holds the texts" in named.message


def test_from_python_with_any_time_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = [Path(CHILD[0]), *CHILD[1:]]
    for seconds in (1e10, np.inf):
        for op in ("right", "several, right"):
            gradaudit.check(gradaudit.process_op(command, op, timeout=seconds), {"x": X}).assert_ok()


@pytest.mark.parametrize(
    ("command", "seconds", "message"),
    [
        ("./serve", 30.0, "command: expected a list of the program and its arguments, found './serve'"),
        (["./serve", 3], 30.0, "command: expected a list of the program and its arguments, found"),
        ([], 30.0, "command: expected a list of the program and its arguments, found an empty one"),
        (["./serve"], 0.0, "timeout: expected a number greater than 0, found 0.0"),
        (["./serve"], np.nan, "timeout: expected a number greater than 0, found nan"),
    ],
    ids=["a text", "a number", "nothing", "no time", "no number"],
)
def test_from_python_with_what_cannot_be(command: Any, seconds: float, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        gradaudit.process_op(command, "right", timeout=seconds)
    assert message in str(caught.value)


def test_a_process_that_was_opened_elsewhere_is_left_to_its_owner(tmp_path: Path) -> None:
    op = open_op(case_of(tmp_path, "right"))
    for _ in range(2):
        gradaudit.check(op, {"x": X}).assert_ok()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"process": {"command": ["a"], "op": "a"}, "forward": "ops:a"}, "found 'process' beside 'forward'"),
        ({"process": {"command": ["a"], "op": "a"}, "torch": "ops:a"}, "torch"),
        ({"process": {"command": ["a"]}}, "target.process.op: this key is required"),
        ({"process": {"comand": ["a"], "op": "a"}}, "unknown key 'comand'; did you mean 'command'"),
        ({"process": {"command": [], "op": "a"}}, "target.process.command: expected a list of at least 1"),
        ({"process": {"command": ["a"], "op": "a", "timeout": 0}}, "target.process.timeout: expected a number greater"),
    ],
    ids=["forward too", "torch too", "no op", "misspelt", "empty", "no time"],
)
def test_a_spec_names_one_kind_of_target_and_all_of_it(tmp_path: Path, target: Any, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump({"op": "a", "target": target, "inputs": {"x": {"shape": [1]}}}))
    with pytest.raises(SpecError) as caught:
        load_specs([file])
    assert message in str(caught.value)


def test_explain_says_what_is_called(tmp_path: Path) -> None:
    case = case_of(tmp_path, "right", ["./serve", "--fast mode"], params={"p": 2})
    assert signature_of(case).calls == {"process": "right(x, p=2) in ./serve '--fast mode'"}

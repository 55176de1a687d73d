"""A case may hang, crash, flood or vanish: that costs it its verdict, and nobody else anything."""

from __future__ import annotations

import re

import pytest

from gradaudit.engine import pool
from gradaudit.engine.executor import Task
from gradaudit.results import Verdict

TIMEOUT = 2.0

CAUSES = {
    "hangs": r"exceeded its time limit of 2 s",
    "hangs_in_c": r"exceeded its time limit of 2 s",
    "segfaults": r"crashed its process with SIGSEGV\n.*string_at\n.*broken_ops\.py.* in segfaults$",
    "aborts": r"crashed its process with SIGABRT\n.*broken_ops\.py.* in aborts$",
    "exits_silently": r"ended its process with exit status 0$",
    "exits_with_3": r"ended its process with exit status 3$",
    "says_why_and_exits": r"ended its process with exit status 1\n.*printed last:\n *the licence server is away$",
    "calls_sys_exit": r"forward called sys\.exit\(4\)\n.*broken_ops\.py:\d+, in calls_sys_exit: sys\.exit\(4\)$",
    "is_killed": r"was killed with its process \(SIGKILL\), most likely because the machine ran out of memory$",
    "recurses_forever": r"forward raised RecursionError: maximum recursion depth exceeded\n.*in recurses_forever",
    "prints_forever": r"printed more than 64 MiB; its output was cut there$",
    "writes_forever": r"printed more than 64 MiB; its output was cut there$",
    "prints_lavishly_and_hides_it": r"printed more than 64 MiB; its output was cut there$",
    "raises_a_gigabyte": r"forward raised ValueError: x{2000} \(268,431,456 characters\) x{2000}\n.*, in ",
    "exits_with_a_long_word": r"forward called sys.exit\('x{1999} \(16,773,218 characters\) x{1999}'\)\n",
    "raises_a_name_without_end": r"forward raised E{2000} \(9,996,000 characters\) E{2000}: short\n",
    "raises_what_cannot_be_said": r"forward raised UnspeakableError: \(its text is not available: RuntimeError\)\n",
    "presses_ctrl_c": r"raised KeyboardInterrupt\n.*broken_ops\.py:\d+, in presses_ctrl_c: raise KeyboardInterrupt$",
    "raises_what_nobody_can_read": r"raised Unreadable: gone \(7\)\n.*in raises_what_nobody_can_read",
    "returns_half_an_array": r"raised ValueError: no array today\n.*in __array__",
}
"""What is said of each op that cannot be audited."""

HARMLESS = (
    "closes_its_streams",
    "takes_stdout_away",
    "silences_its_descriptors",
    "forks_a_child_that_exits",
    "runs_a_program",
)
"""Ops that tamper with their process and are right all the same."""


@pytest.fixture(scope="module")
def ordeal(tmp_path_factory, document, write, run):
    """All of them in one run, each followed by an op that is right and one that is wrong."""
    documents = []
    for op in (*CAUSES, *HARMLESS):
        documents += [
            document(op),
            document(f"right_after_{op}", "square"),
            document(f"wrong_after_{op}", "square", "square_backward_one_wrong"),
        ]
    folder = write(tmp_path_factory.mktemp("ordeal"), *documents)
    return run(folder, jobs=2, timeout=TIMEOUT)


@pytest.mark.parametrize("op", CAUSES)
def test_the_cause_is_said_in_words(ordeal, op: str) -> None:
    result = ordeal.results[op]
    assert result.verdict is Verdict.ERROR
    assert not result.expected
    assert re.match(CAUSES[op], result.message), result.message


@pytest.mark.parametrize("op", HARMLESS)
def test_tampering_that_ends_well_is_no_error(ordeal, op: str) -> None:
    assert ordeal.results[op].verdict is Verdict.PASS, ordeal.results[op].message


@pytest.mark.parametrize("op", [*CAUSES, *HARMLESS])
def test_neighbours_are_unharmed(ordeal, op: str) -> None:
    right, wrong = ordeal.results[f"right_after_{op}"], ordeal.results[f"wrong_after_{op}"]
    assert right.verdict is Verdict.PASS, right.message
    assert (wrong.verdict, wrong.wrong, wrong.mismatches[0].index) == (Verdict.FAIL, 1, (1,)), wrong.message


def test_the_run_tells_of_every_case_in_order(ordeal) -> None:
    expected = [name for op in (*CAUSES, *HARMLESS) for name in (op, f"right_after_{op}", f"wrong_after_{op}")]
    assert [event.results[0].op for event in ordeal.finished] == expected
    assert not ordeal.events[-1].interrupted


def test_the_time_of_a_case_that_hung_is_known(ordeal) -> None:
    assert ordeal.results["hangs"].seconds == TIMEOUT


def test_messages_show_no_frame_of_the_auditor(ordeal) -> None:
    for op in CAUSES:
        assert "gradaudit/" not in ordeal.results[op].message, op


def test_memory_runs_out_for_the_case_alone(tmp_path, document, write, run, monkeypatch) -> None:
    monkeypatch.setattr(pool, "machine_memory", lambda: 10**9)
    folder = write(tmp_path, document("before", "square"), document("fills_memory"), document("after", "square"))
    results = run(folder, jobs=1, timeout=30).results
    assert [result.verdict for result in results.values()] == [Verdict.PASS, Verdict.ERROR, Verdict.PASS]
    assert results["fills_memory"].message.startswith("forward ran out of memory")
    assert "in fills_memory: held.append(np.ones(10**7))" in results["fills_memory"].message


def test_the_memory_of_the_machine_is_shared_among_the_workers(monkeypatch) -> None:
    monkeypatch.setattr(pool, "machine_memory", lambda: 8 * 10**9)
    with pool.workers(4, timeout=10) as workers:
        (_, (limit, _)), *_ = workers.map(_data_limit, [Task(())])
    assert limit == int(8e9 * pool.MEMORY_SHARE / 4)


def _data_limit() -> tuple[int, int]:
    import resource

    return resource.getrlimit(resource.RLIMIT_DATA)


def test_machine_memory_is_a_plausible_number_of_bytes() -> None:
    assert 10**8 < pool.machine_memory() < 10**15


@pytest.mark.parametrize("op", ["returns_half_an_array", "calls_sys_exit", "recurses_forever"])
def test_in_process_such_a_case_is_an_error_with_the_same_words(
    ordeal, op: str, tmp_path, document, write, run
) -> None:
    folder = write(tmp_path, document(op), document("after", "square"))
    results = run(folder, jobs=0).results
    assert results[op].verdict is Verdict.ERROR
    said, expected = results[op].message.splitlines(), ordeal.results[op].message.splitlines()
    assert said[0] == expected[0]
    assert results["after"].verdict is Verdict.PASS

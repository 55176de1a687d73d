"""What an op does to its process reaches no other op: rude ops beside honest ones, in both orders."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradaudit.results import Verdict

RUDE = {
    "patches_asarray": "import numpy\nnumpy.asarray = lambda *a, **k: 1 / 0",
    "patches_finfo": "import numpy\nnumpy.finfo = None",
    "patches_exp": "import numpy\nnumpy.exp = lambda x: numpy.ones_like(x)",
    "patches_sum": "import builtins\nbuiltins.sum = lambda *a: 0",
    "patches_len": "import builtins\nbuiltins.len = lambda a: 7",
    "forbids_imports": "import builtins\ndef no(*a, **k): raise ImportError('no')\nbuiltins.__import__ = no",
    "raises_on_underflow": "import numpy\nnumpy.seterr(all='raise')",
    "replaces_the_honest_module": "import sys, types\nsys.modules['honest'] = types.ModuleType('honest')",
    "finds_modules_elsewhere": "import sys\nsys.path[:] = []; sys.meta_path[:] = []",
    "empties_sys_modules": "import sys\nsys.modules.clear()",
    "clears_the_environment": "import os\nos.environ.clear(); os.environ['OMP_NUM_THREADS'] = '64'",
    "changes_folder": "import os\nos.chdir('/')",
    "closes_descriptors": "import os\nos.closerange(0, 256)",
    "uses_up_descriptors": "import os\nkept = []\ntry:\n    while True: kept.append(os.open('/dev/null', 0))\n"
    "except OSError: pass",
    "lowers_limits": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
    "forbids_files": "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
    "sets_an_alarm": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.05)",
    "ignores_signals": "import signal\nfor n in (2, 15, 17): signal.signal(n, signal.SIG_IGN)",
    "starts_a_thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "leaves_a_child": "import subprocess\nsubprocess.Popen(['sleep', '60'], start_new_session=True)",
    "kills_its_parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "kills_its_parent_s_group": "import os, signal\nos.killpg(os.getpgid(os.getppid()), signal.SIGKILL)",
    "stops_its_parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)",
    "exits_from_c": "import ctypes\nctypes.CDLL(None)._exit(0)",
    "patches_exit": "import os\nos._exit = lambda status: None",
    "patches_pickle": "import pickle\npickle.dumps = lambda *a, **k: b'!'",
    "writes_everywhere": "import os\nfor k in range(3, 40):\n"
    "    try: os.write(k, b'x' * 100)\n    except OSError: pass",
    "collects_no_garbage": "import gc, sys\ngc.disable(); sys.setrecursionlimit(60)",
    "traces_every_line": "import sys\ndef trace(*a): raise RuntimeError('traced')\nsys.settrace(trace)",
}
"""What each rude op's forward does before it returns what it should, as Python source."""

HONEST = """
import numpy as np

def forward(x):
    return np.exp(x) * np.asarray(x)

def backward(u, x):
    return u * np.exp(x) * (1 + x)

def wrong(u, x):
    gradient = backward(u, x)
    gradient[1] *= 1.01
    return gradient
"""


def source_of(rude: str) -> str:
    body = "".join(f"    {line}\n" for line in rude.splitlines())
    return f"import numpy as np\n\ndef forward(x):\n{body}    return x * 2\n\ndef backward(u, x):\n    return u * 2\n"


@pytest.mark.parametrize("jobs", [1, 2])
def test_honest_ops_end_as_they_do_alone(jobs: int, tmp_path: Path, document, write, run) -> None:
    """Each rude op has a right and a wrong one before it and after it."""
    (tmp_path / "honest.py").write_text(HONEST)
    documents = []
    for name in ("", *RUDE):
        if name:
            (tmp_path / f"{name}.py").write_text(source_of(RUDE[name]))
            documents.append(document(name, f"{name}:forward", f"{name}:backward"))
        documents += [
            document(f"right_after_{name}", "honest:forward", "honest:backward"),
            document(f"wrong_after_{name}", "honest:forward", "honest:wrong"),
        ]
    results = run(write(tmp_path, *documents), jobs=jobs, timeout=5).results
    ends = {op: (str(result.verdict), result.wrong) for op, result in results.items() if op not in RUDE}
    assert ends == {op: ("pass", 0) if op.startswith("right") else ("fail", 1) for op in ends}
    assert len(results) == len(documents)


def test_cases_of_an_op_do_not_see_what_an_earlier_one_has_changed(tmp_path: Path, document, write, run) -> None:
    """An op that is right in its first case, and then finds NumPy as its first case left it."""
    (tmp_path / "turns.py").write_text(
        "import numpy as np\n\ndef forward(x):\n    np.cos = np.sin\n    return np.sin(x)\n\n"
        "def backward(u, x):\n    return u * _cos(x)\n\n_cos = np.cos\n"
    )
    cases = [{"name": f"case_{k}"} for k in range(3)]
    record = run(write(tmp_path, document("turns", "turns:forward", "turns:backward", cases=cases)), jobs=1)
    assert [event.results[0].verdict for event in record.finished] == [Verdict.PASS] * 3


def test_a_run_ends_though_every_op_is_rude(tmp_path: Path, document, write, run) -> None:
    names = ("kills_its_parent", "exits_from_c", "closes_descriptors")
    for name in names:
        waits = "\nimport time; time.sleep(1)" * (name == "kills_its_parent")  # or it answers before its own end comes
        (tmp_path / f"{name}.py").write_text(source_of(RUDE[name] + waits))
    ops = [f"{name}_{k}" for name in names for k in range(3)]
    documents = [document(op, f"{op[:-2]}:forward", f"{op[:-2]}:backward") for op in ops]
    results = run(write(tmp_path, *documents), jobs=2, timeout=5).results
    assert list(results) == ops
    assert {result.verdict for result in results.values()} == {Verdict.ERROR}


ENDS_PARENTS = """
import os, signal, time

def forward(x):
    while True:
        os.kill(os.getppid(), signal.SIGKILL)
        with open(os.path.join(os.path.dirname(__file__), "ended"), "a") as file:
            file.write("one more\\n")
        time.sleep(0.2)

def backward(u, x):
    return u
"""


def test_an_op_that_ends_its_parent_ends_with_it(tmp_path: Path, document, write, run) -> None:
    """It has no time for another one, which would be a process of whoever runs the audit."""
    (tmp_path / "ends_parents.py").write_text(ENDS_PARENTS)
    (tmp_path / "honest.py").write_text(HONEST)
    rude, honest = (document(name, f"{name}:forward", f"{name}:backward") for name in ("ends_parents", "honest"))
    results = run(write(tmp_path, rude, honest), jobs=1, timeout=5).results
    assert results["ends_parents"].message == "ended the process from which its own was forked"
    assert results["honest"].verdict is Verdict.PASS
    ended = tmp_path / "ended"
    assert len(ended.read_text().splitlines() if ended.exists() else []) <= 2, "one for each of its tries"

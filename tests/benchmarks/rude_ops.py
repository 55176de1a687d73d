"""What the rude ops of ``reliability.py`` do: those that the tests know in four places, and more in their forward."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from test_isolation import RUDE, source_of

MORE = {
    "leaves_a_pool": "import multiprocessing as m\nglobal kept\nkept = m.get_context('fork').Pool(2)",
    "leaves_an_executor": (
        "import concurrent.futures as c\nglobal kept\nkept = c.ProcessPoolExecutor(2); kept.submit(len, 'a').result()"
    ),
    "stops_itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "stops_its_group": "import os, signal\nos.killpg(0, signal.SIGSTOP)",
    "raises_what_raises": "class E(Exception):\n    def __str__(self): raise ValueError('x')\nraise E()",
    "raises_what_exits": "import os\nclass E(Exception):\n    def __str__(self): os._exit(3)\nraise E()",
    "raises_what_says_a_number": "class E(Exception):\n    def __str__(self): return 5\nraise E()",
    "raises_what_hangs": "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E()",
    "raises_300_megabytes": "raise ValueError('x' * 300_000_000)",
    "raises_control_characters": "raise ValueError('\\x00\\x1b[31m\\ud800\\n::error::hi\\n ##[set-output]\\ufffe')",
    "raises_an_odd_name": "E = type('a\\x00::error::\\n<&>', (Exception,), {})\nraise E('b')",
    "raises_what_is_no_exception": "class E(BaseException): pass\nraise E('b')",
    "raises_a_group": "raise BaseExceptionGroup('g', [KeyboardInterrupt(), SystemExit(3)])",
    "raises_a_long_chain": (
        "e = ValueError('a')\nfor k in range(50000):\n    f = ValueError(k); f.__cause__ = e; e = f\nraise e"
    ),
    "raises_a_circle": (
        "e = ValueError('a'); e.__context__ = e.__cause__ = ValueError('b'); e.__cause__.__cause__ = e\nraise e"
    ),
    "hooks_into_everything": "import sys\ndef hook(*a): raise RuntimeError('no')\nsys.addaudithook(hook)",
    "changes_the_mask": "import os\nos.umask(0o777)",
    "becomes_nobody": "import os\nos.setuid(65534)",
    "stays_on_one_core": "import os\nos.sched_setaffinity(0, {0})",
    "is_nice": "import os\nos.nice(19)",
    "changes_the_time_zone": "import locale, time, os\nos.environ['TZ']='Asia/Tokyo'; time.tzset()",
    "turns_warnings_into_errors": "import warnings\nwarnings.simplefilter('error')",
    "stops_the_clocks": "import time\ntime.monotonic = time.perf_counter = time.time = lambda: 0.0",
    "takes_generators_away": "import numpy\nnumpy.random.default_rng = None",
    "recurses_deeply": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
    "raises_what_is_nested": "l=[]\nfor k in range(100000): l=[l]\nraise ValueError(l)",
    "takes_streams_away": "import sys\nsys.excepthook = sys.unraisablehook = None\nsys.stdout = sys.stderr = None",
    "never_exits": "import atexit\ndef f():\n    while True: pass\natexit.register(f)",
    "leaves_a_thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(50,)).start()",
    "leaves_a_daemon": (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        import signal\n"
        "        for n in range(1, 32):\n"
        "            try: signal.signal(n, signal.SIG_IGN)\n"
        "            except (OSError, ValueError): pass\n"
        "        os.closerange(0, 100)\n"
        "        time.sleep(300)\n"
        "    os._exit(0)"
    ),
    "reads_input": "import sys\nsys.stdin.read(); input()",
    "reads_the_terminal": "open('/dev/tty').read()",
    "limits_its_parent": "import resource, os\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
    "is_nice_to_its_parent": "import os\nos.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "takes_builtins_away": "import builtins\nbuiltins.dict = builtins.list = builtins.isinstance = None",
    "hurries_sockets": "import socket\nsocket.setdefaulttimeout(0.0001)",
    "interrupts_collection": "import gc\ndef f(*a): raise KeyboardInterrupt\ngc.callbacks.append(f)",
    "signals_its_parent": "import os, signal\nos.kill(os.getppid(), signal.SIGUSR1)",
    "wakes_its_parent": (
        "import os, signal\nfor n in (signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT): os.kill(os.getppid(), n)"
    ),
    "reads_address_0": "import ctypes\nctypes.string_at(0)",
    "divides_by_0": "import ctypes, signal, os\nos.kill(os.getpid(), signal.SIGFPE)",
    "signals_itself": "import os, signal\nos.kill(os.getpid(), signal.SIGRTMIN)",
    "exits_with_much": "raise SystemExit(2**70)",
    "exits_from_a_thread": (
        "import threading, os\nthreading.Timer(0.01, os._exit, (0,)).start(); import time; time.sleep(0.5)"
    ),
    "prints_in_a_thread": (
        "import threading\n"
        "def f():\n"
        "    while True: print('x' * 10000)\n"
        "threading.Thread(target=f, daemon=True).start()"
    ),
}
"""What a forward does before it returns what it should, as Python source."""


def indented(text: str, by: str = "    ") -> str:
    return "".join(f"{by}{line}\n" for line in text.splitlines())


def rude_modules() -> Iterator[tuple[str, str, str]]:
    """Yield kind, module name and source of ops that are rude in each of several places."""
    forward = "def forward(x):\n    return x * 2\n"
    backward = "def backward(u, x):\n    return u * 2\n"
    for name, text in RUDE.items():
        yield "in forward", name, f"def forward(x):\n{indented(text)}    return x * 2\n\n{backward}"
        yield "in backward", name, f"{forward}\ndef backward(u, x):\n{indented(text)}    return u * 2\n"
        yield "on import", name, f"{text}\n\n{forward}\n{backward}"
        thread = f"import threading\ndef rude():\n{indented(text)}\n"
        yield (
            "in a thread",
            name,
            f"{thread}def forward(x):\n    threading.Thread(target=rude).start()\n    return x * 2\n\n{backward}",
        )
    for name, text in MORE.items():
        yield "in forward", name, source_of(text)

"""Ops that do to their process what no op should; ``square`` and ``cube`` beside them are right."""

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np


def square(x):
    return x * x


def square_backward(u, x):
    return 2 * x * u


def square_backward_one_wrong(u, x):
    gradient = 2 * x * u
    gradient.flat[1] *= 1.01
    return gradient


def cube(x):
    return x * x * x


def cube_backward(u, x):
    return 3 * x * x * u


def slow_square(x, pause):
    time.sleep(pause)
    return x * x


def hangs(x):
    while True:
        time.sleep(1)


def hangs_in_c(x):
    all(itertools.repeat(True))  # never back in the interpreter: no handler written in Python gets to run


def segfaults(x):
    ctypes.string_at(0)


def aborts(x):
    os.abort()


def exits_silently(x):
    os._exit(0)


def exits_with_3(x):
    os._exit(3)


def says_why_and_exits(x):
    print("the licence server is away")
    os._exit(1)


def calls_sys_exit(x):
    sys.exit(4)


def is_killed(x):
    os.kill(os.getpid(), signal.SIGKILL)


def recurses_forever(x):
    return recurses_forever(x)


def prints_forever(x):
    while True:
        print("x" * 10_000)


def writes_forever(x):
    while True:
        os.write(1, b"x" * 100_000)


def prints_lavishly_and_hides_it(x):
    for _ in range(1_000):
        with contextlib.suppress(OSError):
            os.write(2, b"x" * 100_000)
    return x * x


def fills_memory(x):
    held = []
    while True:
        held.append(np.ones(10**7))


def presses_ctrl_c(x):
    raise KeyboardInterrupt


class Unreadable(BaseException):
    """Pickles, but cannot be unpickled: its arguments are not those of its constructor."""

    def __init__(self, code, reason):
        super().__init__(f"{reason} ({code})")


def raises_what_nobody_can_read(x):
    raise Unreadable(7, "gone")


class HalfAnArray:
    def __array__(self, *args, **kwargs):
        raise ValueError("no array today")


def returns_half_an_array(x):
    return HalfAnArray()


def closes_its_streams(x):
    sys.stdout.close()
    sys.stderr.close()
    return x * x


def takes_stdout_away(x):
    sys.stdout = None
    return x * x


def silences_its_descriptors(x):
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
    return x * x


def forks_a_child_that_exits(x):
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return x * x


def runs_a_program(x):
    subprocess.run(["true"], check=True)
    return x * x


def raises_a_gigabyte(x):
    raise ValueError("x" * 2**28)


def exits_with_a_long_word(x):
    sys.exit("x" * 2**24)


def raises_a_name_without_end(x):
    raise type("E" * 10**7, (Exception,), {})("short")


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("never")


def raises_what_cannot_be_said(x):
    raise UnspeakableError

"""How many threads linear algebra takes in a process that audits."""

from __future__ import annotations

import os

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What the libraries behind NumPy and the frameworks read once, when they are loaded."""


def one_thread_for_linear_algebra() -> None:
    """Let linear algebra use one thread, in this process and in those started from it, unless the user set a number.

    An audit takes many sums of products that are short: several threads spend longer on waiting for each other than on
    the sums, several processes of them fight over the cores, and how a sum is split decides how it is rounded. Without
    effect on libraries that are loaded already.
    """
    for variable in VARIABLES:
        os.environ.setdefault(variable, "1")

"""What numerical libraries are told in a process that audits."""

from __future__ import annotations

import os
import sys

VARIABLES = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "THP_MEM_ALLOC_ENABLE": "1",
}
"""What the libraries behind NumPy and the frameworks read once, when they are loaded or first used."""


def set_up_libraries() -> None:
    """Set up numerical libraries for this process and those started from it, but for what the user has set.

    Linear algebra uses one thread. An audit takes many sums of products that are short: several threads spend longer on
    waiting for each other than on the sums, several processes of them fight over the cores, and how a sum is split
    decides how it is rounded. PyTorch takes large tensors in huge pages, as NumPy does: an audit takes and frees many,
    and small pages cost the kernel as much time as a forward.

    Without effect on libraries that are loaded already.
    """
    for variable, value in VARIABLES.items():
        os.environ.setdefault(variable, value)


KEPT = {-1: 2**30, -3: 2**25}
"""glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, see mallopt(3): bytes that are freed and kept, and those of an array
from which on it is apart from all that. The second is the largest that glibc comes to by itself.
"""


def keep_freed_memory() -> None:
    """Let this process keep memory that it frees for what it takes next, where glibc allocates it.

    An audit takes and frees arrays of one size again and again; what the kernel is given back it clears before it hands
    it out anew, which took a fifth of the time of an audit of a million elements.
    """
    import ctypes  # which the command itself does without

    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter, value in KEPT.items():
            libc.mallopt(parameter, value)

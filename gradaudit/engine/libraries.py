"""What numerical libraries are told in a process that audits."""

from __future__ import annotations

import os

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

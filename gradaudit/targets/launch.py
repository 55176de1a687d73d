"""Becomes the command that its arguments are, as a process that ends with the one that started it.

Run as a script by ``gradaudit.targets.child``, without the site's packages: a child that hangs reads no end of its
input, and would outlive a worker that was killed. What the parent asks the kernel for here (``PR_SET_PDEATHSIG``, see
prctl(2)) outlasts the change into another program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")

"""One thread for linear algebra, as the engine's workers have: set before anything imports NumPy."""

from gradaudit.engine.threads import one_thread_for_linear_algebra

one_thread_for_linear_algebra()

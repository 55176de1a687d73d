"""An executor on a cluster of Dask: tasks travel in batches, and each worker fences them off as ``-j`` does.

A batch holds tasks of one group, so that what isolates ops from each other on one machine does so on many; the longest
go first. A Dask worker that dies costs its batch another try elsewhere, which is Dask's own doing.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import signal
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from gradaudit.engine.batches import batches
from gradaudit.engine.executor import ExecutorError, Lost, Task
from gradaudit.engine.pool import workers

T = TypeVar("T")

LOCAL = "local"
"""The address of a cluster of this machine's own, made for the run."""

PATIENCE = 10
"""Seconds to wait for a scheduler."""

SECONDS_TO_CLOSE = 15
"""Seconds that a cluster may take to end its workers, and a client to take its leave."""

LOGGERS = ("distributed", "distributed.client", "distributed.core", "distributed.comm", "asyncio")
"""Who logs with a level of its own that a connection is lost."""

MOST_UPLOADED = 64 * 2**20
"""Bytes of modules that are sent to the workers."""


class DaskExecutor:
    """An executor whose processes are those of a cluster.

    Args:
        client: a ``distributed.Client``, which stays an attribute.
        timeout: seconds that a task may take.
        upload: the modules to look in besides those that the workers have, as ``packed`` returns them.

    """

    def __init__(self, client: Any, timeout: float, upload: bytes = b"") -> None:
        self.client = client
        self._timeout = timeout
        self._upload = client.scatter(upload, broadcast=True, hash=False) if upload else b""

    def map(self, function: Callable[..., T], tasks: Sequence[Task]) -> Iterator[tuple[int, T | Lost]]:
        """Call ``function(*task.arguments)`` for every task; yield each one's position and outcome as it comes.

        Raises:
            ExecutorError: where the scheduler is gone.

        """
        from distributed import as_completed

        waiting = sorted(batches(tasks), key=lambda batch: -sum(tasks[k].cost for k in batch.positions))
        folder = str(Path.cwd())
        futures = {}
        for batch in waiting:
            content = pickle.dumps((function, [tasks[k] for k in batch.positions]))
            sent = self.client.submit(run_batch, content, folder, self._timeout, self._upload, pure=False)
            futures[sent] = batch.positions
        try:
            for future in as_completed(list(futures)) if futures else ():
                positions = futures.pop(future)
                yield from zip(positions, self._outcomes(future, len(positions)), strict=True)
        finally:
            self.client.cancel(list(futures), force=True)

    def _outcomes(self, future: Any, count: int) -> list[Any]:
        if future.status == "cancelled":
            raise ExecutorError(f"the scheduler at {self.client.scheduler.address} is gone")
        if (error := future.exception()) is not None:
            return [Lost(f"was lost: its worker died: {type(error).__name__}: {error}")] * count
        outcomes: list[Any] = pickle.loads(future.result())
        return outcomes


@contextmanager
def dask_executor(
    address: str, timeout: float, *, jobs: int | None = None, upload: bool = False
) -> Iterator[DaskExecutor]:
    """Connect to the scheduler at an address, or make a cluster of this machine's for ``local``.

    Args:
        address: such as ``tcp://host:8786``.
        timeout: seconds that a task may take.
        jobs: workers of a local cluster; None for one for each core.
        upload: whether the modules below the current folder are sent to the workers.

    Raises:
        ExecutorError: where Dask is not installed, or there is no scheduler.

    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ExecutorError("--dask needs Dask: pip install 'gradaudit[dask]'") from None
    for name in LOGGERS:  # what they log of a connection that is lost, the run says in words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    content = packed(Path.cwd()) if upload else b""
    if address == LOCAL:
        try:
            cluster = LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
        except Exception as error:  # of whatever kind the system's refusal has become by then
            raise ExecutorError(f"no cluster can be made here: {error}") from None
        with closing_in_time(cluster), closing_in_time(Client(cluster)) as client:
            yield DaskExecutor(client, timeout, content)
        return
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise ExecutorError(f"there is no scheduler at {address}: {error}") from None
    with closing_in_time(client):
        yield DaskExecutor(client, timeout, content)


@contextmanager
def closing_in_time(made: Any) -> Iterator[Any]:
    """Close a cluster or a client at the end, whatever goes wrong with that: the results are there by then.

    Of a cluster that does not close in time the workers are killed.
    """
    try:
        yield made
    finally:
        try:
            made.close(timeout=SECONDS_TO_CLOSE)
        except Exception:
            for worker in getattr(made, "workers", {}).values():
                with suppress(OSError, AttributeError, TypeError):
                    os.kill(worker.pid, signal.SIGKILL)


def packed(folder: Path) -> bytes:
    """Return the modules below a folder as an archive.

    Raises:
        ExecutorError: where they are too large to be sent.

    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if path.is_file() and not any(part.startswith(".") for part in inside.parts):
                file.write(path, inside)
    if archive.tell() > MOST_UPLOADED:
        raise ExecutorError(f"--upload: the modules below {folder} have {archive.tell():,} bytes; use a shared path")
    return archive.getvalue()


def run_batch(content: bytes, folder: str, timeout: float, upload: bytes) -> bytes:
    """Do a batch on a worker, in processes of its own; return the outcomes as a pickle.

    Args:
        content: a pickle of the function and the tasks, all of one group.
        folder: the current folder of the run, where the worker has it.
        timeout: seconds that a task may take.
        upload: modules that were sent along.

    """
    function, tasks = pickle.loads(content)
    current = Path(_unpacked(upload) if upload else folder)
    with workers(1, timeout) as pool:
        outcomes = dict(pool.map(function, tasks, folder=current if current.is_dir() else None))
    return pickle.dumps([outcomes[k] for k in range(len(tasks))])


@cache
def _unpacked(upload: bytes) -> str:
    """Unpack modules into the worker's own folder, which goes with the worker; return where."""
    from distributed import get_worker

    folder: str = tempfile.mkdtemp(dir=get_worker().local_directory)
    with zipfile.ZipFile(io.BytesIO(upload)) as file:
        file.extractall(folder)
    return folder

"""Two jobs side by side: the second one runs in a process of its own until its result is wanted."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

Result = Callable[[], Any]
"""Waits for the job, and returns what it returned or raises what it raised"""


@contextmanager
def beside(job: Callable[[], Any]) -> Iterator[Result]:
    """Start a job in a new process; yield the function that waits for its result. Leaving the block ends the job.

    Args:
        job: Can be pickled, such as a `functools.partial` of a public function; so can its result.
    """
    # spawn works alike on every system, and inside a program that already runs threads
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(job, sender), daemon=True)
    process.start()
    # this process's copy of the end that the job writes to; without it, a job that dies is seen at once
    sender.close()

    def result() -> Any:
        try:
            value, error = receiver.recv()
        except EOFError:
            process.join()
            raise RuntimeError(
                f"{job}: the process ended without a result (exit code {process.exitcode}); -9 is often lack of memory"
            ) from None
        if error is not None:
            raise error
        return value

    try:
        yield result
    finally:
        receiver.close()
        process.terminate()
        process.join()


def _send_result(job: Callable[[], Any], sender: Connection) -> None:
    """Run the job and send (result, None) or (None, error)."""
    # Ctrl-C reaches both processes; the first one decides, and ends this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        value = job()
    except Exception as error:  # noqa: BLE001  (whatever it is, it is raised where the result is wanted)
        sender.send((None, error))
    else:
        sender.send((value, None))

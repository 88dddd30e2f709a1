"""SIGTERM and SIGUSR1, as SLURM sends them before its time limit: the run saves and stops after the current step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""SIGTERM precedes a kill; `sbatch --signal=USR1@120` sends SIGUSR1 two minutes before the time limit"""


@dataclass(slots=True)
class EndRequest:
    """A signal that asks the run to stop."""

    signal_name: str | None = None
    """Name of the signal; None: no signal came"""

    @property
    def is_made(self) -> bool:
        """Whether a signal came."""
        return self.signal_name is not None


@contextmanager
def end_requests() -> Iterator[EndRequest]:
    """Yield a request that records SIGTERM and SIGUSR1 while they no longer end the process; handlers are restored.

    Python delivers signals to the main thread only; in another thread nothing is recorded and nothing changes.
    """
    request = EndRequest()

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (the signature of a handler)
        request.signal_name = signal.Signals(number).name

    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    former = {number: signal.signal(number, note) for number in ENDING}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def outlive_signals(worker: int) -> None:  # noqa: ARG001  (the signature of a DataLoader's worker_init_fn)
    """Ignore the signals in a process that reads batches, so that the current step still gets its batch.

    A scheduler signals every process of a job. Readers end with the process that started them.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)

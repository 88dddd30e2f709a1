"""A run that is asked to end, as SLURM does before it takes the machine away: it ends after the step at hand."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""SIGTERM comes before a kill; SIGUSR1 is what `sbatch --signal=USR1@120` sends two minutes before the time limit"""


@dataclass(slots=True)
class EndRequest:
    """Whether the run was asked to end."""

    signal_name: str | None = None
    """the signal that asked; None when nobody did"""

    @property
    def is_made(self) -> bool:
        """Whether a signal came."""
        return self.signal_name is not None


@contextmanager
def end_requests() -> Iterator[EndRequest]:
    """Yield what notes SIGTERM and SIGUSR1 instead of dying of them; the former handlers come back afterwards.

    Python delivers signals to the main thread only: elsewhere nothing is noted and nothing changes.
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
    """Ignore the signals in a process that reads batches, so that the step at hand still gets its own.

    A scheduler signals every process of a job. Readers end with the process that started them.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)

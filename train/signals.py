"""SIGTERM, SIGUSR1 (as SLURM sends them before its time limit) and Ctrl-C: save and stop after the current step."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""SIGINT is Ctrl-C; SIGTERM precedes a kill; `sbatch --signal=USR1@120` sends SIGUSR1 two minutes before the limit"""

LAUNCHED = "TORCHELASTIC_RUN_ID"
"""Set in the environment by torchrun"""


@dataclass(slots=True)
class EndRequest:
    """A signal that asks the run to stop."""

    signal_name: str | None = None
    """Name of the signal; None: no signal came"""
    launcher: int | None = None
    """Process that started this one and waits for it, torchrun; None: there is none"""

    @property
    def is_made(self) -> bool:
        """Whether a signal came, or torchrun has died: without it nothing would stop its processes."""
        if self.signal_name is None and self.launcher not in (None, os.getppid()):
            self.signal_name = "torchrun ended"
        return self.signal_name is not None


@contextmanager
def end_requests() -> Iterator[EndRequest]:
    """Yield a request that records the signals while they no longer end the process; handlers are restored.

    A second Ctrl-C ends the process at once, because a user who presses it again does not want to wait for the step.

    Python delivers signals to the main thread only; in another thread nothing is recorded and nothing changes.
    """
    is_launched = LAUNCHED in os.environ
    request = EndRequest(launcher=os.getppid() if is_launched else None)

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (the signature of a handler)
        name = signal.Signals(number).name
        # torchrun passes on the Ctrl-C that the terminal has sent to this process too
        if name == request.signal_name == "SIGINT" and not is_launched:
            raise KeyboardInterrupt
        request.signal_name = name

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

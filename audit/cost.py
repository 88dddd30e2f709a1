"""The cost of a job: seconds per stage, and the peak memory of its processes together."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

INTERVAL_SECONDS = 0.25


class Meter:
    """Seconds by stage and peak memory, as `metered` measures them."""

    def __init__(self) -> None:
        self.seconds_by_stage: dict[str, float] = {}
        self.peak_rss_mb = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the stage `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds_by_stage[name] = self.seconds_by_stage.get(name, 0.0) + time.perf_counter() - started

    def sample(self) -> None:
        """Read the memory of this process and its children now, and keep the peak."""
        here = psutil.Process()
        total = here.memory_info().rss
        for child in here.children(recursive=True):
            try:
                total += child.memory_info().rss
            except psutil.NoSuchProcess:
                continue  # the child ended after it was listed
        self.peak_rss_mb = max(self.peak_rss_mb, total / 2**20)


@contextmanager
def metered() -> Iterator[Meter]:
    """Measure time and memory of the block.

    Memory is the resident set summed over the process and its children, sampled four times a second. Pages that
    processes share are counted once for each, so the sum is an upper bound.
    """
    meter, stop = Meter(), threading.Event()

    def watch() -> None:
        while not stop.wait(INTERVAL_SECONDS):
            meter.sample()

    thread = threading.Thread(target=watch, daemon=True)
    meter.sample()
    thread.start()
    try:
        yield meter
    finally:
        stop.set()
        thread.join()
        meter.sample()

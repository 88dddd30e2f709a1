"""Where blocks are packed: in this process, in worker processes of this machine, or on a cluster.

All three call the same function on the same blocks, in any order. The rows have their places, so the outcome is the
same bytes.
"""

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event

from preprocess.packing.block import Block, JobFailedError
from preprocess.packing.journal import Entry, read_journal

Work = Callable[[Block], list[Entry]]
Results = Generator[list[Entry], None, None]
Engine = Callable[[Work, Sequence[Block]], Results]
"""Yields the entries of every block, as they come; if it is closed early, the work ends"""


def available_workers() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_this_process(work: Work, blocks: Sequence[Block]) -> Results:
    """Pack one block after the other."""
    yield from map(work, blocks)


def in_processes(n_workers: int) -> Engine:
    """Return the engine that packs in worker processes of this machine.

    A worker that dies, most often for lack of memory or in the C code of a decoder, is replaced. The blocks that were
    being packed at that moment are packed again one at a time, so that an image that kills its worker takes no other
    down with it, and is given up after the second time (`block.pack_block`).
    """

    def engine(work: Work, blocks: Sequence[Block]) -> Results:
        waiting = dict(enumerate(blocks))
        while waiting:
            with _pool(min(n_workers, len(waiting))) as submit:
                futures = {future: place for place, future in zip(waiting, submit(work, waiting.values()), strict=True)}
                try:
                    for future in as_completed(futures):
                        yield future.result()
                        del waiting[futures[future]]
                except BrokenProcessPool:
                    pass

            # Blocks that were being packed when a worker died: one at a time, so that only the guilty image is lost.
            interrupted = [place for place, block in waiting.items() if _is_interrupted(block)]
            for place in interrupted:
                yield _alone(work, waiting.pop(place))
            if waiting and not interrupted:
                raise JobFailedError(
                    "a worker process died before it began with an image, most often for lack of memory; "
                    "try fewer --workers; the same command continues where this one stopped"
                )

    return engine


def on_cluster(address: str) -> Engine:
    """Return the engine that packs on the workers of a running Dask scheduler.

    Workers need this project on their path and see the archive and the outputs under the same names. A worker that
    dies is replaced by the scheduler, which hands its blocks to others.

    Raises:
        JobFailedError: When used: Dask is not installed, the scheduler does not answer, or its workers cannot work.
    """

    def engine(work: Work, blocks: Sequence[Block]) -> Results:
        try:
            import distributed  # noqa: PLC0415  (only for those who have a cluster)
        except ImportError as error:
            raise JobFailedError("--scheduler: wanted the package distributed: pip install distributed") from error
        try:
            client = distributed.Client(  # type: ignore[no-untyped-call]
                address, timeout=_SCHEDULER_ANSWERS_WITHIN
            )
        except OSError as error:
            raise JobFailedError(f"--scheduler: {address} does not answer: {error}") from error
        with client:
            # Pure functions are answered from memory by Dask; this one writes.
            futures = client.map(work, blocks, pure=False)
            try:
                for future in distributed.as_completed(futures):  # type: ignore[no-untyped-call]
                    yield future.result()
                    future.release()
            except (ImportError, distributed.KilledWorker) as error:
                raise JobFailedError(
                    f"--scheduler: the workers cannot pack ({error}); do they have this project and its requirements? "
                    "the same command continues where this one stopped"
                ) from error

    return engine


_SCHEDULER_ANSWERS_WITHIN = 30.0


@contextmanager
def _pool(n_workers: int) -> "Iterator[Callable[[Work, Iterable[Block]], list[Future[list[Entry]]]]]":
    """Yield what hands out blocks to worker processes; when the `with` block ends, each finishes its image at hand."""
    # A fresh interpreter per worker: forking copies locks that other threads of this process may hold.
    context = get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=_begin, initargs=(stop,))

    def submit(work: Work, blocks: Iterable[Block]) -> "list[Future[list[Entry]]]":
        with _ctrl_c_blocked():  # which the workers inherit: Ctrl-C is for this process, which then ends them
            return [pool.submit(_until_stopped, work, block) for block in blocks]

    try:
        yield submit
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_stop: "list[Event]" = []
"""In a worker process: set when the job ends early"""


def _begin(stop: "Event") -> None:
    _stop.append(stop)
    _follow_parent()


def _until_stopped(work: Work, block: Block) -> list[Entry]:
    """Do the work of a block, image by image, until the job ends early."""
    entries: list[Entry] = []
    for image in block.images:
        if _stop and _stop[0].is_set():
            break
        entries += work(block._replace(images=(image,)))
    return entries


def _follow_parent() -> None:
    """End this worker when its parent is killed; otherwise it would continue to write."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def _is_interrupted(block: Block) -> bool:
    return any(read_journal(block.journal).starts.values())


def _alone(work: Work, block: Block) -> list[Entry]:
    for _ in range(2 * len(block.images) + 1):
        with _pool(1) as submit:
            try:
                return submit(work, [block])[0].result()
            except BrokenProcessPool:
                continue
    raise JobFailedError("worker processes die as soon as they begin; is there memory left?")

"""What every benchmark shares: the machine's description, repeated timing, a table on the terminal, a JSON file.

A benchmark prints medians and ratios against a baseline that ran in the same process tree, never a bare number of
seconds: machines are noisy and differ.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from common.versions import package_versions  # noqa: E402  (found through the line above)

TERMINAL = Path("-")
PACKAGES = ("torch", "open_clip_torch", "timm", "numpy", "pandas", "opencv-python-headless", "pillow", "h5py")


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory, Python and package versions: what a figure depends on."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory_bytes / 2**30, 1),
        "python": platform.python_version(),
        "packages": package_versions(PACKAGES),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def interleaved_seconds(
    candidates: Mapping[str, Callable[[], Any]], *, repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Time every candidate `repeats` times, in turns, so that slow changes of the machine affect all of them.

    A first turn of each is not counted. With `time.process_time` as clock, processor seconds are counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(repeats + 1):
        for name, run in candidates.items():
            start = clock()
            run()
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def median_ratio(baseline: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median over the paired turns of baseline/ours: the factor by which ours is faster."""
    return statistics.median(b / o for b, o in zip(baseline, ours, strict=True))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that already knows `--json [FILE]`."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        "--json", type=Path, nargs="?", const=TERMINAL, metavar="FILE", help="also write the figures, here or to stdout"
    )
    return result


def report(figures: Mapping[str, Any], *, title: str, json_path: Path | None) -> None:
    """Print `figures` as a table and, when asked, write them with the machine's description."""
    print(f"\n{title}")
    width = max(len(name) for name in figures)
    for name, value in figures.items():
        print(f"  {name:<{width}}  {f'{value:.4g}' if isinstance(value, float) else value}")
    if json_path is None:
        return
    text = json.dumps({"title": title, "figures": figures, "machine": describe_machine()}, indent=2)
    if json_path == TERMINAL:
        print(text)
        return
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(text)
    print(f"  written: {json_path}")

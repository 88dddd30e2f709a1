"""Notes of a program to its user: what it assumed because no file or flag says it."""

import os
import sys


def note(text: str) -> None:
    """Print `note: TEXT` on stderr, on one of the processes that torchrun started."""
    if os.environ.get("RANK", "0") == "0":
        print(f"note: {text}", file=sys.stderr)

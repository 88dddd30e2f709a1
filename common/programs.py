"""How every program of ours ends: what it could not do becomes one line and an exit code, never a traceback."""

import sys
from collections.abc import Callable


def exit_code(job: Callable[[], object]) -> int:
    """Run `job` and return 0; 2 for a request or input that cannot be used, 1 for a job that failed."""
    try:
        job()
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0

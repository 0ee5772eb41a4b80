"""`python -m spawn.runner FD`: run the queue that stdin orders. For `runner.start`."""

import os
import sys
from contextlib import suppress

from spawn.core.boot.names import SERVICE
from spawn.runner.guardian import Before, guard


def run(order: bytes, before: Before) -> int:
    """Be the runner; returns the exit code."""
    from spawn.runner.bootstrap import main  # not in the guardian

    code = main(order, before)
    with suppress(OSError):  # a full disk, under its log, is no reason for another exit code
        sys.stderr.flush()
    return code


if __name__ == "__main__":
    # Threads that still wait for a store are waited for by nobody.
    os._exit(guard(run, os.environ, SERVICE in os.environ))

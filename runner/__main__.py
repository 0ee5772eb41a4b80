"""`python -m spawn.runner FD`: run the queue of the order on stdin. Started by `runner.start`."""

import os
import sys
from contextlib import suppress

from spawn.runner.guardian import RunnerContext, guard
from spawn.store.aws.boot.locations import SERVICE_VARIABLE


def run(order: bytes, context: RunnerContext) -> int:
    """Run the queue in this process; returns the exit code."""
    from spawn.runner.bootstrap import main  # keeps the guardian small

    code = main(order, context)
    with suppress(OSError):  # a full disk under runner.log must not change the exit code
        sys.stderr.flush()
    return code


if __name__ == "__main__":
    # Do not wait for threads that still wait for the store.
    os._exit(guard(run, os.environ, SERVICE_VARIABLE in os.environ))

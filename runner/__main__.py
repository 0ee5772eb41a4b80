"""`python -m spawn.runner FD`: run the queue that stdin orders. For `runner.start`."""

import os
import sys
from contextlib import suppress

from spawn.runner.bootstrap import main

if __name__ == "__main__":
    code = main()
    with suppress(OSError):  # a full disk, under its log, is no reason for another exit code
        sys.stderr.flush()
    os._exit(code)  # threads that still wait for a store are waited for by nobody

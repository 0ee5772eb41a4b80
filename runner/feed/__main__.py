"""`python -m spawn.runner.feed`: serve this machine's queues on loopback."""

import sys

from spawn.runner.feed.bootstrap import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m spawn.runner`: what `spawn.runner.start` starts."""

import sys

from spawn.runner.bootstrap import main

sys.exit(main())

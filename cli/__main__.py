"""`python -m spawn.cli`: the command line without the `spawn` script."""

from spawn.cli.main import main

main()

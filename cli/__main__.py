"""`python -m spawn.cli`: the command line without its script."""

from spawn.cli.main import main

main()

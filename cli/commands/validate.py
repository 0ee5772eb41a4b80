"""`spawn queue validate`."""

from pathlib import Path
from typing import Annotated

import typer


def validate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Queue configuration file, or `-` for stdin.")
    ],
) -> None:
    """Check a configuration and list all its problems.

    Runs nothing. Exit code 2 if there is a problem.

    Examples:
        spawn queue validate pipeline.json
        ./generate-pipeline | spawn queue validate -
    """
    from spawn.cli.support.configuration import load_configuration

    loaded = load_configuration(file)
    count = len(loaded.config.jobs)
    print(f"{loaded.name} is valid: {count} job{'' if count == 1 else 's'}")

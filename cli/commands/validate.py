"""`spawn queue validate`."""

from pathlib import Path
from typing import Annotated

import typer


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A queue's configuration, or `-`.")],
) -> None:
    """Name every problem in a configuration.

    Nothing is run. Exit code 2 when there is a problem.
    """
    from spawn.cli.configuration import load

    loaded = load(file)
    count = len(loaded.config.jobs)
    print(f"{loaded.name} is valid: {count} job{'' if count == 1 else 's'}")

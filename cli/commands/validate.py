"""`spawn queue validate`."""

from pathlib import Path
from typing import Annotated

import typer


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A queue's configuration, or `-`.")],
) -> None:
    """Check a configuration and name every problem in it, without running anything."""
    from spawn.cli.configuration import load

    config = load(file).config
    count = len(config.jobs)
    print(f"{file} is valid: {count} job{'' if count == 1 else 's'}")

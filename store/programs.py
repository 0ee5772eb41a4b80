"""Find programs of the system, such as `ssh` and `git`."""

import os
import shutil
from collections.abc import Mapping


def find_program(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Find a program on PATH; None if it is not installed.

    Relative and empty entries are skipped: the current folder may contain an unrelated file with
    that name.
    """
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(name, path=os.pathsep.join(filter(os.path.isabs, folders)))

"""Programs of the system, such as `ssh` and `git`."""

import os
import shutil
from collections.abc import Mapping


def find(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Find a program on PATH; None where it is not installed.

    An entry that means the current folder, as an empty one does, is passed over: a file there may
    have the program's name by chance.
    """
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(name, path=os.pathsep.join(filter(os.path.isabs, folders)))

"""The command line of a Python interpreter for a module of this package."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import spawn


def python_command(module: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Build the command line that runs a module of this package.

    The module's imports do not depend on the current folder, which may contain a `queue.py`, or on
    variables such as `PYTHONPATH`, which stay in the environment for jobs. Such variables apply
    only if Python finds this package through one of them.
    """
    flags = ["-P"]
    if sys.flags.ignore_environment or not _is_found_by_variable(environ):
        flags.append("-E")
    if sys.flags.no_user_site:
        flags.append("-s")
    # Both processes must decode file names alike, and `PYTHONUTF8` may have set the mode of ours.
    flags += ["-X", f"utf8={sys.flags.utf8_mode}"]
    return [sys.executable, *flags, "-m", module]


def _is_found_by_variable(environ: Mapping[str, str]) -> bool:
    root = Path(spawn.__path__[0]).parent
    folders = environ.get("PYTHONPATH", "").split(os.pathsep)
    prefixes = [environ.get(name, "") for name in ("PYTHONHOME", "PYTHONUSERBASE")]
    return any(each and Path(each).absolute() == root for each in folders) or any(
        each and root.is_relative_to(Path(each).absolute()) for each in prefixes
    )

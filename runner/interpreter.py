"""How a new interpreter of ours is started."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import spawn


def python(module: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The words that run a module of this package.

    What it imports depends neither on the current folder, which may have a `queue.py`, nor on
    variables such as `PYTHONPATH`: those are for jobs, and stay in the environment. Where the
    package itself is found by one of them, they count.
    """
    flags = ["-P"]
    if sys.flags.ignore_environment or not _is_found_by_variable(environ):
        flags.append("-E")
    if sys.flags.no_user_site:
        flags.append("-s")
    # Both must read the names of files and arguments alike, which `PYTHONUTF8` may have decided.
    flags += ["-X", f"utf8={sys.flags.utf8_mode}"]
    return [sys.executable, *flags, "-m", module]


def _is_found_by_variable(environ: Mapping[str, str]) -> bool:
    root = Path(spawn.__path__[0]).parent
    folders = environ.get("PYTHONPATH", "").split(os.pathsep)
    prefixes = [environ.get(name, "") for name in ("PYTHONHOME", "PYTHONUSERBASE")]
    return any(each and Path(each).absolute() == root for each in folders) or any(
        each and root.is_relative_to(Path(each).absolute()) for each in prefixes
    )

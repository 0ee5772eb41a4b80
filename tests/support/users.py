"""Run code as an unprivileged user."""

import os
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

NOBODY = 65534


def unprivileged(function: Callable[[], object]) -> str:
    """Call `function` as an unprivileged user; in a fork if this process is root.

    Returns:
        The error as text; empty if there was none.
    """
    if os.getuid() != 0:
        return _outcome(function)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(write, _outcome(function).encode()[:4096])
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said.decode("utf-8", "replace")


def public_folder() -> Path:
    """Create a folder that every user may enter, unlike pytest's own; the caller removes it."""
    folder = Path(mkdtemp(prefix="spawn-test-"))
    folder.chmod(0o755)
    return folder


@contextmanager
def another_user() -> Iterator[str]:
    """A temporary user of this machine who can log in by a key; needs root."""
    name = f"spawn-{os.getpid()}"
    subprocess.run(["useradd", "-M", "-s", "/bin/sh", "-p", "*", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["userdel", "-f", name], check=True, capture_output=True)


def _outcome(function: Callable[[], object]) -> str:
    try:
        function()
    except BaseException:
        return traceback.format_exc()
    return ""

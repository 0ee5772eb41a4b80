"""paramiko and sshtunnel, imported late and for less.

Source: measured; paramiko takes 130 ms to import, of which 50 are for `invoke`. It needs that for
`Match exec` in a configuration alone, which OpenSSH reads for us.
"""

import logging
import sys
from functools import cache
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

_WITHOUT = "invoke"
_importing = Lock()


@cache
def paramiko() -> Any:
    """The library that speaks SSH. It says nothing on its own: what matters is raised."""
    quiet("paramiko")
    with _importing:  # a thread may have begun while ssh is asked
        if "paramiko" in sys.modules or _WITHOUT in sys.modules:
            return import_module("paramiko")
        sys.modules[_WITHOUT] = None  # type: ignore[assignment] # importing it fails, as if absent
        try:
            return import_module("paramiko")
        finally:
            sys.modules.pop(_WITHOUT, None)


class _Shell:
    """What paramiko asks `invoke` for: whether a command of a configuration succeeds."""

    def __init__(self, ok: bool) -> None:
        self.ok = ok

    @classmethod
    def run(cls, command: str, **_: object) -> "_Shell":
        """Run it as ssh does: nobody types, nothing is shown."""
        import subprocess

        nowhere = subprocess.DEVNULL
        done = subprocess.run(
            command, shell=True, check=False, stdin=nowhere, stdout=nowhere, stderr=nowhere
        )
        return cls(done.returncode == 0)


def with_commands() -> None:
    """Let paramiko run the commands of a configuration: `Match exec`."""
    config: Any = import_module("paramiko.config") if paramiko() else None
    config.invoke = _Shell


@cache
def sshtunnel() -> ModuleType:
    """The library that forwards ports."""
    paramiko()
    return import_module("sshtunnel")


def quiet(name: str) -> logging.Logger:
    """A logger that writes nowhere, however the process logs."""
    logger = logging.getLogger(name)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger

"""paramiko and sshtunnel, imported on first use, and paramiko without `invoke`.

paramiko takes 130 ms to import, 50 of them for `invoke` (measured). It needs `invoke` only for
`Match exec` in SSH configurations, which `ssh -G` evaluates instead.
"""

import logging
import sys
from functools import cache
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

_BLOCKED = "invoke"
_importing = Lock()


@cache
def paramiko() -> Any:
    """Import paramiko, with its logging off."""
    quiet("paramiko")
    with _importing:  # `Reach.connect` imports it on a thread
        if "paramiko" in sys.modules or _BLOCKED in sys.modules:
            return import_module("paramiko")
        sys.modules[_BLOCKED] = None  # type: ignore[assignment] # makes the import fail
        try:
            return import_module("paramiko")
        finally:
            sys.modules.pop(_BLOCKED, None)


class _Shell:
    """A stand-in for the part of `invoke` that paramiko uses: running a `Match exec` command."""

    def __init__(self, ok: bool) -> None:
        self.ok = ok

    @classmethod
    def run(cls, command: str, **_: object) -> "_Shell":
        """Run a command as ssh does, without input and output."""
        import subprocess

        null = subprocess.DEVNULL
        done = subprocess.run(
            command, shell=True, check=False, stdin=null, stdout=null, stderr=null
        )
        return cls(done.returncode == 0)


def with_commands() -> None:
    """Let paramiko evaluate `Match exec`."""
    config: Any = import_module("paramiko.config") if paramiko() else None
    config.invoke = _Shell


@cache
def sshtunnel() -> ModuleType:
    """Import sshtunnel."""
    paramiko()
    return import_module("sshtunnel")


def quiet(name: str) -> logging.Logger:
    """A logger that writes nothing, whatever logging the process configures."""
    logger = logging.getLogger(name)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger

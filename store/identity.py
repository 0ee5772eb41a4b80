"""Who asks: what events say of the person behind them."""

import getpass
import os
import socket

from spawn.core.codec import clean

_LONGEST = 256
"""Characters of a name: more than any system's user or host has. It stands in events."""


def owner() -> str:
    """This user on this machine: `user@host`, in valid UTF-8."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{clean(user)[:_LONGEST]}@{hostname()}"


def hostname() -> str:
    """What this machine is called, in valid UTF-8."""
    return clean(socket.gethostname())[:_LONGEST]

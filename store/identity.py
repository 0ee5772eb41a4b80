"""What events say of the user and of the machine behind them."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from spawn.core.codec import clean
from spawn.store.files import read_small

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LONGEST = 256
"""Characters of a name: more than any system's user or host has. It stands in events."""


def owner() -> str:
    """This user on this machine: `user@host`, in valid UTF-8."""
    import getpass  # not for who only asks for the boot id

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{clean(user)[:_LONGEST]}@{hostname()}"


def hostname() -> str:
    """What this machine is called, in valid UTF-8."""
    return clean(socket.gethostname())[:_LONGEST]


def boot_id() -> str:
    """An id that changes with each restart of the machine; empty where there is none."""
    with suppress(OSError):
        return read_small(_BOOT_ID).decode("ascii", "replace").strip()
    return ""

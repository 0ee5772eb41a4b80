"""What events say of the user and of the machine behind them."""

import os
import socket
from contextlib import suppress
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def owner() -> str:
    """This user on this machine: `user@host`."""
    import getpass  # not for who only asks for the boot id

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def boot_id() -> str:
    """An id that changes with each restart of the machine; empty where there is none."""
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return ""

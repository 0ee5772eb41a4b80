"""The user and the machine, as recorded in events."""

import os
import socket
from contextlib import suppress
from pathlib import Path

from spawn.core.domain.codec import valid_utf8
from spawn.store.files import read_small

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LONGEST = 256
"""Maximum characters of a name in events; user and host names are shorter."""


def owner() -> str:
    """Return `user@host` of this process, in valid UTF-8."""
    import getpass  # imported late: most callers need only the boot id

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{valid_utf8(user)[:_LONGEST]}@{hostname()}"


def hostname() -> str:
    """Return this machine's host name, in valid UTF-8."""
    return valid_utf8(socket.gethostname())[:_LONGEST]


def boot_id() -> str:
    """Return an id that changes with each boot of the machine; empty if there is none."""
    with suppress(OSError):
        return read_small(_BOOT_ID).decode("ascii", "replace").strip()
    return ""

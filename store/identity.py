"""Who asks: what events say of the person behind them."""

import getpass
import os
import socket


def owner() -> str:
    """This user on this machine: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"

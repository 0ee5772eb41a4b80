"""Which user owns the other end of a loopback connection.

Every user of this machine can connect to a port on 127.0.0.1, and the tunnel forwards with our
rights. Linux tells who owns a socket; other systems do not, so every user is allowed there.
"""

import os
import socket
import sys
from pathlib import Path

_TABLE = Path("/proc/net/tcp")


def is_ours(connection: socket.socket) -> bool:
    """Whether a loopback connection comes from this user or root; False if the socket is not found.

    Source: proc(5), /proc/net/tcp: addresses in the machine's byte order, the uid in field 8.
    """
    if not _TABLE.exists():
        return True
    theirs, ours = _hex(connection.getpeername()), _hex(connection.getsockname())
    for line in _TABLE.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == theirs and fields[2] == ours:
            return int(fields[7]) in (0, os.getuid())
    return False


def _hex(address: tuple[str, int]) -> str:
    packed = socket.inet_aton(address[0])
    number = int.from_bytes(packed, sys.byteorder)
    return f"{number:08X}:{address[1]:04X}"

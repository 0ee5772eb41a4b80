"""Who is at the other end of a connection within this machine.

A port on 127.0.0.1 is open to every user of the machine, and what they ask through our tunnel is
asked as us. Linux says whose socket it is; elsewhere nobody is told apart.
"""

import os
import socket
import sys
from pathlib import Path

_TABLE = Path("/proc/net/tcp")


def is_ours(connection: socket.socket) -> bool:
    """Whether a loopback connection comes from this user or root; who cannot be found is neither.

    Source: proc(5), /proc/net/tcp: addresses in the machine's byte order, the uid eighth.
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

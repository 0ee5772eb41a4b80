"""Whose process is at the other end of a loopback connection, or listens on a port.

Source: proc(5), /proc/net/tcp. A socket that its process has closed shows uid 0 there, and inode
0: it is nobody's, and must not be taken for root's.
"""

import pwd
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TRIES = 4
"""The table is read in pieces while it changes: a line may be missed."""
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED, _LISTENING = "01", "0A"

Address = tuple[str, int]
"""An IPv4 address and a port."""


def owner(peer: Address, here: Address) -> int | None:
    """The uid of the process that holds the other end of a connection.

    Args:
        peer: The other end's address.
        here: Ours.

    Returns:
        None where that cannot be told: it has closed it, or is not on this machine.
    """
    ends = [(far, near) for far, near in zip(_written(*peer), _written(*here), strict=True)]
    for _ in range(TRIES):
        for local, remote, state, uid, inode in _sockets():
            if state == _ESTABLISHED and inode != "0" and (local, remote) in ends:
                return int(uid)
    return None


def listener(port: int) -> int | None:
    """The uid of the process that listens on a port of 127.0.0.1, or of all addresses; None where
    there is none."""
    places = {*_written("127.0.0.1", port), *_written("0.0.0.0", port), f"{'0' * 32}:{port:04X}"}
    for local, _, state, uid, inode in _sockets():
        if state == _LISTENING and inode != "0" and local in places:
            return int(uid)
    return None


def user(uid: int) -> str:
    """A user's name, for people; the number where nobody has it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _sockets() -> Iterator[tuple[str, str, str, str, str]]:
    """Every socket: local and remote address, state, uid, inode, as they are written."""
    for table in _TABLES:
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                parts = line.split()
                yield parts[1], parts[2], parts[3], parts[7], parts[9]


def _written(host: str, port: int) -> tuple[str, str]:
    """An address as the tables write it: as it is, and mapped into IPv6."""
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    (mapped,) = struct.unpack("=I", b"\0\0\xff\xff")
    return f"{number:08X}:{port:04X}", f"{'0' * 16}{mapped:08X}{number:08X}:{port:04X}"

"""Find the user of a loopback connection's other end, or of a listening port.

Source: proc(5), /proc/net/tcp. A closed socket shows uid 0 and inode 0 there; it does not belong to
root.
"""

import pwd
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

TRIES = 4
"""Number of reads: the table changes while it is read, so a read may miss a line."""
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED, _LISTENING = "01", "0A"

Address = tuple[str, int]
"""An IPv4 address and a port."""


def peer_uid(peer: Address, here: Address) -> int | None:
    """Return the uid of the process at the other end of a connection.

    Args:
        peer: Address of the other end.
        here: Address of this end.

    Returns:
        None if unknown: the peer has closed the socket, or is not on this machine.
    """
    ends = [(far, near) for far, near in zip(_encode(*peer), _encode(*here), strict=True)]
    for _ in range(TRIES):
        for local, remote, state, uid, inode in _sockets():
            if state == _ESTABLISHED and inode != "0" and (local, remote) in ends:
                return int(uid)
    return None


def listener_uid(port: int) -> int | None:
    """Return the uid of the process that listens on a port of 127.0.0.1 or of all addresses, or
    None."""
    places = {*_encode("127.0.0.1", port), *_encode("0.0.0.0", port), f"{'0' * 32}:{port:04X}"}
    for local, _, state, uid, inode in _sockets():
        if state == _LISTENING and inode != "0" and local in places:
            return int(uid)
    return None


def user_name(uid: int) -> str:
    """Return the name of a user, or the uid if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _sockets() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield local address, remote address, state, uid and inode of every socket, as text."""
    for table in _TABLES:
        with suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                parts = line.split()
                yield parts[1], parts[2], parts[3], parts[7], parts[9]


def _encode(host: str, port: int) -> tuple[str, str]:
    """Return an address in the tables' format, as IPv4 and as mapped IPv6."""
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    (mapped,) = struct.unpack("=I", b"\0\0\xff\xff")
    return f"{number:08X}:{port:04X}", f"{'0' * 16}{mapped:08X}{number:08X}:{port:04X}"

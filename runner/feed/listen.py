"""Take the feed's port, or say who has it."""

import errno
import json
import os
import socket
from contextlib import suppress

from spawn.core.errors import SpawnError
from spawn.core.feed.address import PORT_VARIABLE, AskHello
from spawn.core.feed.wire import SERVICE
from spawn.runner.feed.peer import listener, user
from spawn.store.paths import Roots

HOST = "127.0.0.1"
_BACKLOG = 64
_SECONDS = 2.0


class Served(Exception):
    """A feed of this user and folder is there already."""


def listen(port: int, roots: Roots) -> socket.socket:
    """Listen on a port of the loopback, and on no other address.

    Raises:
        Served: What is asked for is there.
        SpawnError: Somebody else has the port, or we may not.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _taken(port, roots) from None
        raise SpawnError(
            f"the feed cannot have port {port}", why=error.strerror or str(error)
        ) from None
    sock.setblocking(False)
    return sock


def _taken(port: int, roots: Roots) -> Exception:
    what = f"port {port} of this machine is taken"
    hint = f"{PORT_VARIABLE} names another one, for the feed and for who asks it"
    uid = listener(port)
    if uid is None:
        return SpawnError(what, hint=hint)
    if uid != os.getuid():
        return SpawnError(what, why=f"a program of the user {user(uid)} listens there", hint=hint)
    root = _root(port)
    if root is None:
        return SpawnError(what, why="another program of yours listens there", hint=hint)
    if root == str(roots.state):
        return Served(f"The feed of {root} is on port {port} already")
    return SpawnError(what, why=f"it is the feed of {root}", hint=hint)


def _root(port: int) -> str | None:
    """The folder that the feed on a port serves; None where that is no feed."""
    request = f"GET {AskHello().target} HTTP/1.0\r\nHost: {HOST}\r\n\r\n"
    with suppress(OSError, ValueError), socket.create_connection((HOST, port), _SECONDS) as sock:
        sock.sendall(request.encode())
        data = b""
        while len(data) < 65536 and (more := sock.recv(65536)):
            data += more
        said = json.loads(data.partition(b"\r\n\r\n")[2])
        if isinstance(said, dict) and said.get("service") == SERVICE:
            return str(said.get("root"))
    return None

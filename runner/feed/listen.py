"""Listen on the feed's port, or report which program uses it."""

import errno
import json
import os
import socket
from contextlib import suppress

from spawn.core.errors import SpawnError
from spawn.core.feed.address import PORT_VARIABLE, AskHello
from spawn.core.feed.wire import SERVICE
from spawn.runner.feed.peer import listener_uid, user_name
from spawn.store.paths import Roots

HOST = "127.0.0.1"
_BACKLOG = 64
_SECONDS = 2.0


class AlreadyServed(Exception):
    """A feed of this user and folder is already running."""


def listen(port: int, roots: Roots) -> socket.socket:
    """Listen on a port of 127.0.0.1 only.

    Raises:
        AlreadyServed: A feed of this user and folder listens on the port.
        SpawnError: Another program uses the port, or it cannot be bound.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _port_in_use(port, roots) from None
        raise SpawnError(
            f"the feed cannot listen on port {port}", why=error.strerror or str(error)
        ) from None
    sock.setblocking(False)
    return sock


def _port_in_use(port: int, roots: Roots) -> Exception:
    what = f"port {port} of this machine is in use"
    hint = f"set {PORT_VARIABLE} to another port, for the feed and for its clients"
    uid = listener_uid(port)
    if uid is None:
        return SpawnError(what, hint=hint)
    if uid != os.getuid():
        why = f"a program of the user {user_name(uid)} listens on it"
        return SpawnError(what, why=why, hint=hint)
    root = _served_root(port)
    if root is None:
        return SpawnError(what, why="another program of yours listens on it", hint=hint)
    if root == str(roots.state):
        return AlreadyServed(f"A feed already serves {root} on port {port}")
    return SpawnError(what, why=f"the feed of {root} listens on it", hint=hint)


def _served_root(port: int) -> str | None:
    """Return the folder that the feed on a port serves, or None if it is not a feed."""
    request = f"GET {AskHello().target} HTTP/1.0\r\nHost: {HOST}\r\n\r\n"
    with suppress(OSError, ValueError), socket.create_connection((HOST, port), _SECONDS) as sock:
        sock.sendall(request.encode())
        data = b""
        while len(data) < 65536 and (more := sock.recv(65536)):
            data += more
        hello = json.loads(data.partition(b"\r\n\r\n")[2])
        if isinstance(hello, dict) and hello.get("service") == SERVICE:
            return str(hello.get("root"))
    return None

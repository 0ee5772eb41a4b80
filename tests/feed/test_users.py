"""A feed serves its own user and root; other users get an error and no information."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.feeds import NAME, Feed, parse_response, until_closed
from tests.support.queues import SECONDS, World, job
from tests.support.users import public_folder
from tests.support.wait import wait_until

from spawn.runner.feed import server, socket_owner
from spawn.runner.feed.answers import Answers
from spawn.runner.feed.bootstrap import listen
from spawn.runner.feed.server import Server
from spawn.store.feed.client import FeedClient
from spawn.store.queue_dir.paths import Roots

USER = "spawn-test-feed"

ASK = """
import socket, sys
with socket.create_connection(("127.0.0.1", {port}), 30) as sock:
    sock.sendall({data!r})
    while data := sock.recv(65536):
        sys.stdout.buffer.write(data)
"""
GET = b"GET /v1/queues/q HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """Another user of this machine, created for these tests."""
    if os.getuid() != 0:
        pytest.skip("only root can make another user")
    if shutil.which("useradd") is None or shutil.which("setpriv") is None:
        pytest.skip("useradd and setpriv are needed to be another user")
    name = f"{USER}-{os.getpid()}"
    subprocess.run(["useradd", "--system", "--no-create-home", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["userdel", name], check=True)


def _as_user(name: str, *command: str) -> list[str]:
    user = pwd.getpwnam(name)
    return [
        "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command
    ]  # fmt: skip


def _ask(name: str, port: int, data: bytes = GET) -> bytes:
    """Send a request as another user."""
    program = ASK.format(port=port, data=data)
    command = _as_user(name, _python(), "-I", "-c", program)
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, cwd="/", check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _python() -> str:
    """Return an interpreter that every user may run."""
    system = Path("/usr/bin/python3")
    return str(system if system.exists() else Path(sys.executable).resolve())


def test_the_feeds_own_user_is_served(world: World, feed: Feed) -> None:
    world.queue(job("a", "true")).run("--no-s3")
    assert parse_response(feed.raw(GET))[0] == 200


def test_another_user_is_rejected_and_learns_nothing(
    world: World, feed: Feed, stranger: str
) -> None:
    world.queue(job("a", "echo hidden")).run("--no-s3")
    for target in (b"/v1/hello", b"/v1/queues", b"/v1/queues/q", b"/v1/queues/none"):
        data = GET.replace(b"/v1/queues/q", target)
        status, _, body = parse_response(_ask(stranger, feed.port, data))
        assert status == 403
        assert b"another user's feed" in body
        assert f"it serves only {pwd.getpwuid(os.getuid()).pw_name}".encode() in body
        assert b"hidden" not in body
        assert str(world.home).encode() not in body


def test_another_user_is_rejected_over_ipv6(feed: Feed, stranger: str) -> None:
    program = ASK.format(port=feed.port, data=GET).replace('"127.0.0.1"', '"::ffff:127.0.0.1"')
    command = _as_user(stranger, _python(), "-I", "-c", program)
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, cwd="/", check=False)
    if b"Address family" in done.stderr or b"unreachable" in done.stderr:
        pytest.skip("there is no IPv6 here")
    assert parse_response(done.stdout)[0] == 403, done.stderr


def test_the_feeds_own_user_is_served_over_ipv6(feed: Feed) -> None:
    try:
        sock = socket.create_connection(("::ffff:127.0.0.1", feed.port), SECONDS)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with sock:
        sock.sendall(GET.replace(b"/v1/queues/q", b"/v1/hello"))
        assert parse_response(until_closed(sock))[0] == 200


def test_connections_of_another_user_take_no_slots_of_permitted_users(
    feed: Feed, stranger: str
) -> None:
    program = f"""
import socket, sys
held = []
for _ in range({server.MAX_CLIENTS + server.MAX_REFUSED + 20}):
    held.append(socket.create_connection(("127.0.0.1", {feed.port}), 30))
print("here", flush=True)
sys.stdin.read()
"""
    command = _as_user(stranger, _python(), "-I", "-c", program)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/") as crowd:
        assert crowd.stdout is not None
        assert crowd.stdout.readline() == b"here\n"
        for _ in range(5):
            assert feed.get("/v1/hello")[0] == 200
        crowd.communicate()


@pytest.fixture
def strangers(stranger: str) -> Iterator[int]:
    """Port of another user's feed. It is forked: that user may not read the interpreter."""
    folder = public_folder()
    uid = pwd.getpwnam(stranger).pw_uid
    roots = Roots(folder, folder, folder)
    stop, ours = os.pipe()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(ours)
            os.setgroups([])
            os.setuid(uid)
            listener = listen(0, roots)
            os.write(tell, b"%d\n" % listener.getsockname()[1])
            Server(listener, Answers(roots), frozenset({0, uid}), print).run(stop)
        finally:
            os._exit(0)
    for end in (stop, tell):
        os.close(end)
    try:
        with open(told, "rb") as pipe:
            yield int(pipe.readline())
    finally:
        os.close(ours)
        os.waitpid(child, 0)
        shutil.rmtree(folder)


def test_the_feed_of_a_user_serves_root(strangers: int, stranger: str) -> None:
    with FeedClient(lambda: ("127.0.0.1", strangers), NAME) as client:
        assert client.hello.uid == pwd.getpwnam(stranger).pw_uid
    assert parse_response(_ask(stranger, strangers, GET))[0] == 404, "its own user is served"


def test_a_port_used_by_another_users_feed_is_reported(
    world: World, strangers: int, stranger: str
) -> None:
    done = world.spawn("feed", "--port", str(strangers))
    assert done.code == 1
    assert f"a program of the user {stranger} listens on it" in done.err
    assert "SPAWN_FEED_PORT" in done.err


def test_a_closed_connection_has_no_owner_instead_of_root() -> None:
    """The kernel reports uid 0 for a closed connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        accepted, address = listener.accept()
        with accepted:
            here = accepted.getsockname()
            assert socket_owner.peer_uid(address, here) == os.getuid()
            ours.close()
            wait_until(lambda: socket_owner.peer_uid(address, here) is None)


def test_an_unused_port_has_no_listener() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert socket_owner.listener_uid(sock.getsockname()[1]) is None

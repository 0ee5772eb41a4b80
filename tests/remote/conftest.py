"""An sshd on loopback as the instance, a user with a temporary key, and no other network."""

import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.s3 import CREDENTIALS
from tests.support.sshd import INSTANCE, Sshd, SshUser, missing, ssh_user, sshd

from spawn.cli.ssh.reach import InstanceAccess
from spawn.store.queue_dir.paths import roots

REACH = Callable[..., InstanceAccess]


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that connects to any address other than loopback."""
    strangers: list[object] = []
    for name in ("connect", "connect_ex"):
        real = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, real: Any = real) -> Any:
            if self.family != socket.AF_UNIX and not str(address[0]).startswith(("127.", "::1")):
                strangers.append(address)
                raise OSError(f"{address} is not loopback")
            return real(self, address)

        monkeypatch.setattr(socket.socket, name, guarded)
    yield
    assert not strangers


@pytest.fixture(autouse=True)
def _no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make AWS unreachable immediately; tests that need it set its endpoint."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    for name in ("SSH_AUTH_SOCK", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _leaves_no_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that everything is closed: no thread of paramiko or of a tunnel is left."""
    before = set(threading.enumerate())
    yield
    left = [
        each
        for each in threading.enumerate()
        if each not in before and "process_request_thread" not in each.name  # of a test's server
    ]
    for each in left:
        each.join(30)
    assert not [each for each in left if each.is_alive()]


@pytest.fixture
def needs_sshd() -> None:
    """Skip the test without an sshd; fail it where all tests must run."""
    lacks = missing()
    if lacks:
        if os.environ.get("SPAWN_REQUIRE_TOOLS"):
            pytest.fail(f"{lacks} is needed here, and not there")
        pytest.skip(f"{lacks} is not there: openssh-server and openssh-client have it")


@pytest.fixture
def person(tmp_path: Path, needs_sshd: None) -> SshUser:
    """The user."""
    return ssh_user(tmp_path / "laptop")


@pytest.fixture
def server(tmp_path: Path, person: SshUser) -> Iterator[Sshd]:
    """The instance: it accepts the user, whose configuration has its id; host key is unknown."""
    with sshd(tmp_path / "instance", allow=[person.key]) as made:
        person.map_id_to(made)
        yield made


@pytest.fixture
def known(person: SshUser, server: Sshd) -> Sshd:
    """The instance, with a known host key."""
    person.add_known_hosts(server.known_hosts_line(INSTANCE))
    return server


@pytest.fixture
def reach(person: SshUser) -> REACH:
    """Factory of the user's way to the instance."""

    def make(**more: Any) -> InstanceAccess:
        environ = person.environ
        return InstanceAccess(INSTANCE, roots(environ), environ=environ, **more)

    return make


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        body = self.path.encode() * (100_000 if self.path == "/much" else 1)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a cut connection


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port without a listener that no other process can take."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def feed() -> Iterator[int]:
    """An HTTP service on the instance's loopback; yields the port."""
    with _Server(("127.0.0.1", 0), _Answer) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), name="feed")
        thread.start()
        yield int(made.server_address[1])
        made.shutdown()
        thread.join()

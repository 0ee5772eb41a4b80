"""Access: other users of the instance get nothing, and every open port is on loopback."""

import os
import pwd
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.instances import Instance, instance_in
from tests.support.processes import processes_with_variable
from tests.support.queues import job, until
from tests.support.s3 import Server
from tests.support.users import NOBODY, public_folder, unprivileged
from tests.support.wait import wait_until

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
OTHER = "nobody"
_LISTENING = "0A"


@pytest.fixture
def open_to_all(tmp_path: Path, moto_server: Server, needs_sshd: None) -> Iterator[Instance]:
    """An instance with a running feed on which another user can log in."""
    folder = public_folder()
    try:
        with instance_in(tmp_path, moto_server, public=folder) as made:
            made.server.authorized.chmod(0o644)
            made.start_feed()
            yield made
    finally:
        shutil.rmtree(folder)


def test_another_user_of_the_instance_gets_nothing_over_ssh(open_to_all: Instance) -> None:
    assert pwd.getpwnam(OTHER).pw_uid == NOBODY
    assert open_to_all.queue(job("one", "echo secret")).run().code == 0
    person = open_to_all.person
    finished = person.spawn("status", open_to_all.id, "--ssh-user", OTHER)
    assert (finished.code, finished.out) == (1, ""), finished
    assert f"the feed of {open_to_all.id} does not serve this user" in finished.err
    assert "--ssh-user sets the user on the instance" in finished.err
    assert "Read from" not in finished.err
    assert person.status(open_to_all.id)["queue_id"] == "q"


def test_another_user_of_the_instance_gets_nothing_from_the_feed(instance: Instance) -> None:
    assert instance.queue(job("one", "echo secret")).run().code == 0
    feed = instance.feed
    assert feed is not None

    def ask() -> None:
        assert b"echo secret" not in feed.raw(
            b"GET /v1/queues/q HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        )
        assert feed.get("/v1/queues/q")[0] == 403

    assert unprivileged(ask) == ""
    assert feed.get("/v1/queues/q")[0] == 200


def test_another_local_user_gets_nothing_through_the_tunnel(
    instance: Instance,
) -> None:
    queue = instance.queue(job("one", until("end"))).detach()
    queue.wait_executing("one")
    watching = instance.person.start("status", instance.id, "--watch", "--json")
    assert watching.stdout is not None
    watching.stdout.readline()
    (port,) = [address.rpartition(":")[2] for address in listening(watching.pid)]

    def ask() -> None:
        with socket.create_connection(("127.0.0.1", int(port)), 10) as sock:
            sock.settimeout(10)
            try:
                sock.sendall(b"GET /v1/hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                said = sock.recv(65536)
            except ConnectionError:
                said = b""
            assert said == b""

    assert unprivileged(ask) == ""
    watching.terminate()
    watching.wait()
    instance.world.release("end")
    queue.wait_for("QueueCompleted")


def test_both_sides_listen_only_on_loopback(instance: Instance) -> None:
    queue = instance.queue(job("one", until("end"))).detach()
    queue.wait_executing("one")
    watching = instance.person.start("status", instance.id, "--watch", "--json")
    assert watching.stdout is not None
    watching.stdout.readline()
    here = listening(watching.pid)
    assert len(here) == 1
    there = [each for pid in instance.world.processes() for each in listening(pid)]
    assert f"127.0.0.1:{instance.person.port}" in there
    assert all(each.startswith("127.0.0.1:") for each in here + there), here + there
    watching.terminate()
    watching.wait()
    instance.world.release("end")
    queue.wait_for("QueueCompleted")
    wait_until(
        lambda: not processes_with_variable(f"SPAWN_HOME={instance.person.laptop.folder / 'spawn'}")
    )


def listening(pid: int) -> list[str]:
    """The TCP addresses that a process listens on, `host:port`."""
    inodes = set()
    with suppress(FileNotFoundError):  # a short command of a job that has ended
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                target = str(fd.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and fields[9] in inodes:
                host, _, port = fields[1].partition(":")
                if name == "tcp6":
                    found.append(f"[{host}]:{int(port, 16)}")
                else:
                    text = socket.inet_ntoa(bytes.fromhex(host)[::-1])
                    found.append(f"{text}:{int(port, 16)}")
    return found

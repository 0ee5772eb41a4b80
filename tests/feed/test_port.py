"""The feed's port: its listener, and the errors when it is in use."""

import os
import signal
import socket
from pathlib import Path

import pytest
from tests.support.feeds import Feed, answered, program
from tests.support.queues import World, world_in


def test_the_feed_listens_only_on_loopback(feed: Feed) -> None:
    local = f":{feed.port:04X}"
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{feed.pid}/net/{table}").read_text().splitlines()[1:]
    ]
    there = [parts[1] for parts in lines if parts[3] == "0A" and parts[1].endswith(local)]
    assert there == [f"0100007F{local}"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_feed_stops_gracefully_with_a_waiting_client(world: World, number: int) -> None:
    feed = Feed(world)
    with feed.connect() as sock:
        sock.sendall(b"GET /v1/queues HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        assert feed.stop(number) == 0


def test_sighup_does_not_stop_the_feed(feed: Feed) -> None:
    os.kill(feed.pid, signal.SIGHUP)
    assert feed.get("/v1/hello")[0] == 200


def test_a_running_feed_of_the_same_user_and_folder_is_a_success(world: World, feed: Feed) -> None:
    done = world.spawn("feed", "--port", str(feed.port))
    said = f"A feed already serves {world.roots.state} on port {feed.port}.\n"
    assert (done.code, done.out, done.err) == (0, "", said)


def test_a_port_used_by_a_feed_of_another_folder_is_an_error(
    world: World, feed: Feed, tmp_path: Path
) -> None:
    with world_in(tmp_path, tmp_path / "other") as other:
        done = other.spawn("feed", "--port", str(feed.port))
    assert done.code == 1
    assert f"the feed of {world.roots.state} listens on it" in done.err
    assert "Hint: set SPAWN_FEED_PORT to another port" in done.err


@pytest.mark.parametrize("says", [b"SSH-2.0-x\r\n", answered(b"{}"), answered(b"[1]"), None])
def test_a_port_used_by_another_program_is_an_error(world: World, says: bytes | None) -> None:
    with program(says) as (_, port):
        done = world.spawn("feed", "--port", str(port))
    assert done.code == 1
    assert f"port {port} of this machine is in use: another program of yours listens" in done.err


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_port_used_on_all_addresses_is_an_error(world: World, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, 0), family=family, dualstack_ipv6=":" in address)
    except OSError:
        pytest.skip("there is no IPv6 here")
    with listener:
        done = world.spawn("feed", "--port", str(listener.getsockname()[1]))
    assert (done.code, "is in use" in done.err) == (1, True)


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
def test_an_invalid_port_is_a_bad_argument(world: World, port: str) -> None:
    assert world.spawn("feed", "--port", port).code == 2
    world.environ["SPAWN_FEED_PORT"] = port
    assert world.spawn("feed").code == 2


def test_the_port_is_reusable_immediately(world: World) -> None:
    first = Feed(world)
    with first.connect() as sock:
        sock.sendall(b"GET /v1/hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert sock.recv(65536)
        first.stop(signal.SIGKILL)
        second = Feed(world, first.port)
    assert second.port == first.port
    assert second.stop() == 0


def test_the_feed_starts_without_queues_and_creates_nothing(world: World) -> None:
    feed = Feed(world)
    assert feed.json("/v1/hello").get("local", "") == ""
    assert feed.stop() == 0
    assert not world.home.exists()


def test_the_feed_uses_little_memory(feed: Feed) -> None:
    assert feed.memory() < 40e6

"""`spawn connect` runs the system's ssh after verifying the host key."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.instances.conftest import needs_sshd_
from tests.support import warm
from tests.support.instances import Instance, instance_in
from tests.support.queues import SECONDS, SPAWN, Finished
from tests.support.s3 import Server
from tests.support.sshd import ME, keygen, public, sshd
from tests.support.terminal import terminal
from tests.support.wait import wait_until

from spawn.cli.ssh.host_settings import HostSettings
from spawn.cli.support.ssh_login import ssh_arguments


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, moto_server: Server) -> Iterator[Instance]:
    """An instance without queues, for all tests of this module."""
    needs_sshd_()
    with instance_in(tmp_path_factory.mktemp("there"), moto_server) as made:
        yield made


def connect(there: Instance, *flags: str, stdin: bytes = b"", **environ: str) -> Finished:
    """Run `spawn connect` against the instance to its end."""
    done = warm.run(
        [SPAWN, "connect", there.id, *flags],
        env={**there.person.environ, **environ},
        cwd=there.person.laptop.folder,
        input=stdin,
        capture_output=True,
        timeout=2 * SECONDS,
        check=False,
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_command_runs_unchanged_and_its_exit_code_is_returned(there: Instance) -> None:
    done = connect(there, "-c", 'echo "it\'s $((6 * 7))" | tr s S; echo wrong >&2; exit 7')
    assert (done.code, done.out, done.err) == (7, "it'S 42\n", "wrong\n")


def test_stdin_is_forwarded(there: Instance) -> None:
    every = bytes(range(256)).replace(b"\x80", b"")
    done = connect(there, "--command", "md5sum", stdin=every * 4096)
    told = subprocess.run(["md5sum"], input=every * 4096, capture_output=True, check=True)
    assert (done.code, done.out) == (0, told.stdout.decode())


@pytest.mark.tool("bash")
def test_a_closed_output_pipe_ends_the_command(there: Instance) -> None:
    script = f"{SPAWN} connect {there.id} -c yes | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script],
        env=there.person.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("y\n255\n", "")  # as with ssh


def test_a_session_has_a_terminal_and_its_exit_code_is_returned(there: Instance) -> None:
    command = [SPAWN, "connect", there.id]
    folder = there.person.laptop.folder
    with terminal(command, there.person.environ, folder, columns=80) as shown:
        shown.type("test -t 0 && echo terminal $((6 * 7)); exit 5\n")
        code = shown.end()
    assert code == 5, shown.text
    assert "terminal 42\n" in shown.text


def test_ctrl_c_reaches_the_remote_command(there: Instance) -> None:
    command = [
        SPAWN,
        "connect",
        there.id,
        "-c",
        "trap 'exit 9' INT; echo ready; while :; do :; done",
    ]
    folder = there.person.laptop.folder
    with terminal(command, there.person.environ, folder, columns=80) as shown:
        wait_until(lambda: "ready" in shown.text, seconds=SECONDS, what="the command runs")
        shown.type("\x03")
        assert shown.end() == 9, shown.text


@pytest.mark.tool("bash")
def test_the_documented_commands_work(there: Instance) -> None:
    lines = f"""
spawn connect {there.id} -c "ps aux | grep python"
spawn connect {there.id} -c "aws s3 ls"
"""
    path = f"{Path(SPAWN).parent}:{there.person.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", lines],
        env={**there.person.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "grep python" in done.stdout
    assert done.stdout.rstrip().endswith(there.bucket) or f" {there.bucket}\n" in done.stdout


def test_nothing_is_sent_to_another_host_at_the_address(there: Instance, tmp_path: Path) -> None:
    words = public(keygen(tmp_path / "other")).split()
    known = there.person.laptop.known_hosts
    before = known.read_text()
    known.write_text(f"{there.id} {words[0]} {words[1]}\n")
    try:
        done = connect(there, "-c", "true", SPAWN_HOME=str(tmp_path / "fresh"))
    finally:
        known.write_text(before)
    assert (done.code, done.out) == (1, "")
    assert "does not match the known one: nothing was sent" in done.err


def test_a_shared_connection_to_another_host_is_not_used(there: Instance, tmp_path: Path) -> None:
    laptop = there.person.laptop
    path = tmp_path / "master"
    with sshd(tmp_path / "other", "", allow=[laptop.key]) as other:
        master = ["ssh", "-F", str(laptop.config), "-i", str(laptop.key), "-p", str(other.port)]
        master += ["-o", "StrictHostKeyChecking=no", "-S", str(path), "-MNn", "-l", ME, other.host]
        with subprocess.Popen(master, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(path.is_socket, what="a connection to another host is open")
                there.write_ssh_config(
                    f"Host i-*\n    ControlMaster auto\n    ControlPath {path}\n"
                )
                done = connect(there, "-c", "echo $SSH_CONNECTION")
            finally:
                there.write_ssh_config()
                process.kill()
    assert (done.code, done.err) == (0, "")
    assert done.out.split()[-1] == str(there.server.port)


def test_a_rejected_key_is_reported(there: Instance, tmp_path: Path) -> None:
    logins = there.server.logins()
    there.person.laptop.configure(
        f"Host i-*\n    HostName {there.server.host}\n    Port {there.server.port}\n",
        key=keygen(tmp_path / "strange"),
    )
    try:
        done = connect(there, "-c", "true")
        assert (done.code, done.out) == (1, "")
        assert "--identity FILE another key" in done.err
        assert there.server.logins() == logins
        done = connect(there, "-c", "echo in", "--identity", str(there.person.laptop.key))
        assert (done.code, done.out, done.err) == (0, "in\n", "")
    finally:
        there.write_ssh_config()


def test_a_missing_ssh_program_is_reported(there: Instance, tmp_path: Path) -> None:
    done = connect(there, "-c", "true", PATH=str(tmp_path))
    assert done.code == 1
    assert "no ssh program found on this machine" in done.err


def test_ssh_gets_the_address_and_the_expected_host_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    settings = HostSettings(
        name="i-1", host="fe80::1%eth0", identities=(str(key), str(tmp_path / "not-there"))
    )
    words = ssh_arguments(
        "i-1",
        settings,
        "ubuntu",
        config="my config",
        known_hosts=tmp_path / "a b%",
        command="uptime; id",
        terminal=False,
    )
    options = {each for before, each in itertools.pairwise(words) if before == "-o"}
    assert {
        "HostName=fe80::1%%eth0",
        "HostKeyAlias=i-1",
        "StrictHostKeyChecking=yes",
        f'UserKnownHostsFile="{tmp_path}/a b%%"',
        "GlobalKnownHostsFile=/dev/null",
    } <= options
    assert words[:5] == ["ssh", "-F", "my config", "-l", "ubuntu"]
    assert words[-6:] == ["-i", str(key), "-T", "--", "i-1", "uptime; id"]
    read = subprocess.run(
        ["ssh", "-G", "-F", os.devnull, *words[3:-4], "--", "i-1"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"\nuserknownhostsfile {tmp_path}/a b%%\n" in read or f"{tmp_path}/a b%" in read

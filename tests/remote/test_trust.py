"""Nothing is sent to a host whose key is not trusted."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.remote.conftest import REACH
from tests.support.answers import Answer, RecordedRequest, RecordingServer, answering, error
from tests.support.sshd import INSTANCE, ME, Sshd, SshUser, keygen, public, sshd

from spawn.cli.ssh.errors import HostKeyMismatch, HostKeyUnknown
from spawn.cli.ssh.reach import LogHints
from spawn.core.errors import SpawnError

OWN = "spawn/cache/ssh/known_hosts"


def _key(server: Sshd, kind: str = "ed25519") -> str:
    return public(server.host_keys[kind])


def _console(text: str) -> Answer:
    body = base64.b64encode(text.encode()).decode()
    xml = f"<GetConsoleOutputResponse><output>{body}</output></GetConsoleOutputResponse>"
    return Answer(body=xml.encode())


@pytest.fixture
def shows(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Answer]]:
    """A fake EC2 whose console answers are the given list; the last one is repeated."""
    answers = [error(403, "UnauthorizedOperation")]

    def answer(asked: RecordedRequest) -> Answer:
        if b"GetConsoleOutput" not in asked.body:
            return error(403, "UnauthorizedOperation")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    with answering(answer) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        yield answers


@pytest.fixture
def nobody_asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingServer]:
    """A fake AWS that must get no request."""
    with answering(lambda _: error(403, "UnauthorizedOperation")) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        yield found
        assert found.asked == []


def test_an_unknown_host_is_rejected_and_the_hint_accepts_it(
    server: Sshd, reach: REACH, person: SshUser
) -> None:
    with pytest.raises(HostKeyUnknown) as found:
        reach().connect()
    shown = subprocess.run(
        ["ssh-keygen", "-lf", f"{server.host_keys['ed25519']}.pub"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[1]
    assert shown in found.value.why
    assert f"aws ec2 get-console-output --instance-id {INSTANCE}" in found.value.hint
    assert "Accepted" not in server.log.read_text()
    command = found.value.hint.partition("if they match: ")[2]
    subprocess.run(command, shell=True, check=True)
    reach().connect().close()
    assert str(person.folder / OWN) in command


def test_a_key_in_the_users_known_hosts_is_accepted_and_saved(
    known: Sshd, reach: REACH, person: SshUser
) -> None:
    reach().connect().close()
    assert _key(known).split()[1] in (person.folder / OWN).read_text()
    person.known_hosts.unlink()
    reach().connect().close()


def test_only_the_owner_can_read_our_known_hosts(
    known: Sshd, reach: REACH, person: SshUser
) -> None:
    reach().connect().close()
    assert (person.folder / OWN).stat().st_mode & 0o777 == 0o600
    assert (person.folder / OWN).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("hashed", [False, True])
def test_a_host_may_be_known_by_its_plain_or_hashed_address(
    server: Sshd, reach: REACH, person: SshUser, hashed: bool
) -> None:
    person.add_known_hosts(server.known_hosts_line(f"[127.0.0.1]:{server.port}"))
    if hashed:
        command = ["ssh-keygen", "-q", "-H", "-f", str(person.known_hosts)]
        subprocess.run(command, check=True, capture_output=True)
        assert "127.0.0.1" not in person.known_hosts.read_text()
    reach().connect().close()


def test_a_changed_host_key_is_rejected_and_the_hint_removes_the_old_one(
    known: Sshd, reach: REACH, person: SshUser, tmp_path: Path
) -> None:
    reach().connect().close()
    before = _key(known)
    known.stop()
    known.host_keys["ed25519"].unlink()
    known.host_keys["ed25519"].with_name("host_ed25519.pub").unlink()
    keygen(known.host_keys["ed25519"])
    known.start()
    assert _key(known) != before
    with pytest.raises(HostKeyMismatch) as found:
        reach().connect()
    assert "nothing was sent" in found.value.what
    assert found.value.why.count("SHA256:") == 2
    assert str(person.folder / OWN) in found.value.why
    command = found.value.hint.partition("`")[2].partition("`")[0]
    subprocess.run(command, shell=True, check=True, capture_output=True)
    with pytest.raises(HostKeyMismatch) as found:  # the user's own file still has it
        reach().connect()
    command = found.value.hint.partition("`")[2].partition("`")[0]
    subprocess.run(command, shell=True, check=True, capture_output=True)
    person.add_known_hosts(known.known_hosts_line(INSTANCE))
    reach().connect().close()


def test_another_key_for_the_address_is_reported_and_proves_nothing(
    server: Sshd, reach: REACH, person: SshUser, tmp_path: Path
) -> None:
    other = keygen(tmp_path / "other")
    person.add_known_hosts(f"[127.0.0.1]:{server.port} {public(other)}\n")
    with pytest.raises(HostKeyUnknown) as found:
        reach().connect()
    assert "perhaps of an earlier host" in found.value.why


def test_a_key_in_the_queues_log_is_trusted_and_saved(
    server: Sshd, reach: REACH, person: SshUser, nobody_asked: RecordingServer
) -> None:
    asked = []

    def keys() -> list[str]:
        asked.append(1)
        return ["ssh-dss AAAA old", f"{_key(server)} root@ip-10-0-0-1"]

    reach(told=LogHints(host_keys=keys)).connect().close()
    reach(told=LogHints(host_keys=keys)).connect().close()
    assert asked == [1]
    assert "the queue's log in S3" in (person.folder / OWN).read_text()


def test_a_key_known_for_the_id_needs_no_lookup(known: Sshd, reach: REACH) -> None:
    def keys() -> list[str]:
        raise AssertionError("nobody need be asked")

    reach(told=LogHints(host_keys=keys)).connect().close()


def test_the_queues_log_takes_precedence_over_the_users_known_hosts(
    server: Sshd, person: SshUser, reach: REACH, tmp_path: Path
) -> None:
    person.add_known_hosts(f"{INSTANCE} {public(keygen(tmp_path / 'older'))}\n")
    other = public(keygen(tmp_path / "other"))
    with pytest.raises(HostKeyMismatch, match="does not match the known one") as found:
        reach(told=LogHints(host_keys=lambda: [other])).connect()
    assert "the queue's log in S3" in found.value.why


def test_an_unreadable_log_counts_as_no_information(known: Sshd, reach: REACH) -> None:
    def keys() -> list[str]:
        raise SpawnError("no such bucket")

    reach(told=LogHints(host_keys=keys)).connect().close()


def test_failed_lookups_of_a_host_key_are_reported_as_such(
    server: Sshd, reach: REACH, shows: list[Answer]
) -> None:
    def keys() -> list[str]:
        raise SpawnError("s3://b/q/ cannot be reached", why="no route to host")

    with pytest.raises(HostKeyUnknown) as found:
        reach(told=LogHints(host_keys=keys)).connect()
    why = found.value.why
    log = "the queue's log in S3 cannot be read: s3://b/q/ cannot be reached: no route to host"
    assert f"no key is known for {INSTANCE}; {log}; " in why
    assert "; the instance's console cannot be read: EC2 " in why


def test_a_key_on_the_console_is_trusted_and_saved(
    server: Sshd, reach: REACH, person: SshUser, shows: list[Answer]
) -> None:
    block = "-----BEGIN SSH HOST KEY KEYS-----\r\n{}\r\n-----END SSH HOST KEY KEYS-----\r\n"
    shows[:] = [_console("booting\r\n" + block.format(_key(server)))]
    reach().connect().close()
    assert "the instance's console" in (person.folder / OWN).read_text()
    shows[:] = [_console("")]
    reach().connect().close()


def test_another_key_on_the_console_rejects_the_host(
    server: Sshd, reach: REACH, shows: list[Answer], tmp_path: Path
) -> None:
    other = public(keygen(tmp_path / "other"))
    block = f"-----BEGIN SSH HOST KEY KEYS-----\n{other}\n-----END SSH HOST KEY KEYS-----\n"
    shows[:] = [_console(block)]
    with pytest.raises(HostKeyMismatch) as found:
        reach().connect()
    assert "the instance's console" in found.value.why


def test_without_the_latest_console_output_that_of_the_boot_is_read(
    server: Sshd, reach: REACH, shows: list[Answer]
) -> None:
    block = f"-----BEGIN SSH HOST KEY KEYS-----\n{_key(server)}\n-----END SSH HOST KEY KEYS-----\n"
    shows[:] = [error(400, "UnsupportedOperation"), _console(block)]
    shows[0] = Answer(
        400,
        b"<Response><Errors><Error><Code>UnsupportedOperation</Code><Message>no</Message></Error>"
        b"</Errors></Response>",
    )
    reach().connect().close()


def test_a_revoked_key_is_rejected_in_any_case(known: Sshd, reach: REACH, person: SshUser) -> None:
    reach().connect().close()
    person.add_known_hosts(f"@revoked * {_key(known)}\n")
    with pytest.raises(HostKeyMismatch, match="revoked"):
        reach().connect()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_known_one_of_several_host_keys_is_negotiated(
    person: SshUser, reach: REACH, tmp_path: Path, kind: str
) -> None:
    with sshd(tmp_path / "s", kinds=["ed25519", "ecdsa", "rsa"], allow=[person.key]) as server:
        person.map_id_to(server)
        person.add_known_hosts(server.known_hosts_line(INSTANCE, kind))
        reach().connect().close()


def test_the_host_key_alias_is_looked_up_beside_the_id(
    server: Sshd, reach: REACH, person: SshUser
) -> None:
    person.map_id_to(server, more="HostKeyAlias the-box")
    person.add_known_hosts(server.known_hosts_line("the-box"))
    reach().connect().close()


def test_strict_host_key_checking_no_is_ignored(
    server: Sshd, reach: REACH, person: SshUser
) -> None:
    person.map_id_to(server, more="StrictHostKeyChecking no")
    with pytest.raises(HostKeyUnknown):
        reach().connect()


def test_the_user_name_is_not_sent_to_an_unknown_host(server: Sshd, reach: REACH) -> None:
    with pytest.raises(HostKeyUnknown):
        reach().connect()
    assert ME not in server.log.read_text().replace(str(server.folder), "")

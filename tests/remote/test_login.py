"""The user and the key of a login."""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from tests.remote.conftest import REACH
from tests.support.sshd import INSTANCE, ME, Sshd, SshUser, agent, keygen, public, sshd
from tests.support.users import another_user, public_folder

from spawn.cli.ssh.connection import SshConnection
from spawn.cli.ssh.errors import AuthenticationFailed
from spawn.cli.ssh.reach import LogHints, SshFlags
from spawn.cli.ssh.run import run
from spawn.core.errors import InvalidArgument


def whoami(connection: SshConnection) -> str:
    with connection:
        out = BytesIO()
        assert run(connection, "id -un", out, BytesIO()) == 0
        return out.getvalue().decode().strip()


def test_the_user_option_overrides_the_configuration(reach: REACH, person: SshUser) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can create another user")
    folder = public_folder()  # sshd reads authorized keys as that user
    try:
        with another_user() as name, sshd(folder, allow=[person.key]) as server:
            person.map_id_to(server)
            person.add_known_hosts(server.known_hosts_line(INSTANCE))
            assert whoami(reach(asked=SshFlags(ssh_user=name)).connect()) == name
            assert whoami(reach().connect()) == ME
    finally:
        shutil.rmtree(folder)


def test_without_a_configured_user_the_queues_log_gives_the_user(
    known: Sshd, reach: REACH, person: SshUser
) -> None:
    person.configure(f"Host {INSTANCE}\n  HostName 127.0.0.1\n  Port {known.port}\n")
    assert whoami(reach(told=LogHints(user=ME)).connect()) == ME
    assert whoami(reach().connect()) == ME  # remembered


def test_a_rejected_user_is_reported_with_the_keys_tried(
    known: Sshd, reach: REACH, person: SshUser
) -> None:
    person.configure(f"Host {INSTANCE}\n  HostName 127.0.0.1\n  Port {known.port}\n")
    with pytest.raises(AuthenticationFailed) as found:
        reach().connect()
    assert found.value.what == f"127.0.0.1:{known.port} rejected the login as ec2-user"
    assert str(person.key) in found.value.why
    assert found.value.hint.startswith("--ssh-user names another user")
    assert "no user is set, so ec2-user was used" in found.value.hint


def test_a_rejected_key_is_reported(
    known: Sshd, reach: REACH, person: SshUser, tmp_path: Path
) -> None:
    other = keygen(tmp_path / "other")
    known.authorized.write_text("")
    with pytest.raises(AuthenticationFailed) as found:
        reach(asked=SshFlags(identity=str(other))).connect()
    assert f"keys tried: {other}, {person.key}" in found.value.why


def test_a_missing_key_is_reported(known: Sshd, reach: REACH, person: SshUser) -> None:
    person.key.unlink()
    with pytest.raises(AuthenticationFailed, match="no key to log in to") as found:
        reach().connect()
    assert str(person.key) in found.value.why
    assert "--identity" in found.value.hint


def test_a_missing_identity_file_is_a_bad_argument(known: Sshd, reach: REACH) -> None:
    with pytest.raises(InvalidArgument, match="key file /nowhere/key not found"):
        reach(asked=SshFlags(identity="/nowhere/key"))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("form", ["", "PEM"])
def test_keys_of_every_type_and_format_are_offered(
    known: Sshd, reach: REACH, tmp_path: Path, kind: str, form: str
) -> None:
    key = keygen(tmp_path / "other", kind, form=form)
    known.authorized.write_text(f"{public(key)}\n")
    reach(asked=SshFlags(identity=str(key))).connect().close()


@pytest.mark.parametrize("form", ["", "PEM"])
def test_an_encrypted_key_needs_an_agent_and_the_hint_says_how(
    known: Sshd, reach: REACH, tmp_path: Path, person: SshUser, form: str
) -> None:
    key = keygen(tmp_path / "locked", "rsa", passphrase="secret", form=form)
    known.authorized.write_text(f"{public(key)}\n")
    person.configure(person.config.read_text().partition("Host *")[0], key=key)
    with pytest.raises(AuthenticationFailed) as found:
        reach().connect()
    assert found.value.why == f"{key}: has a passphrase"
    assert f"`ssh-add {key}`" in found.value.hint


def test_a_file_that_is_not_a_key_is_skipped_with_a_message(
    known: Sshd, reach: REACH, person: SshUser
) -> None:
    person.key.write_text("nonsense")
    with pytest.raises(AuthenticationFailed) as found:
        reach().connect()
    assert f"{person.key}: not a private key" in found.value.why


def test_an_encrypted_key_without_a_public_file_is_found_in_the_agent(
    known: Sshd, reach: REACH, person: SshUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [keygen(tmp_path / f"other{n}") for n in range(3)]
    key = keygen(tmp_path / "locked")
    known.authorized.write_text(f"{public(key)}\n")
    text = person.config.read_text().partition("Host *")[0]
    with agent(tmp_path, *others, key) as path:
        command = ["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key)]
        subprocess.run(command, check=True, capture_output=True)
        key.with_name("locked.pub").unlink()
        person.configure(text, key=key)
        config = person.config.read_text().replace("IdentityAgent none", f"IdentityAgent {path}")
        person.config.write_text(config)
        reach().connect().close()
    assert "Failed publickey" not in known.log.read_text()


@pytest.fixture
def strict(person: SshUser, tmp_path: Path) -> Iterator[Sshd]:
    """A host that disconnects after two keys."""
    with sshd(tmp_path / "strict", "MaxAuthTries 2", allow=[person.key]) as made:
        person.map_id_to(made)
        person.add_known_hosts(made.known_hosts_line(INSTANCE))
        yield made


def _with_agent(person: SshUser, path: Path, *, identity: bool) -> None:
    config = person.config.read_text().replace("IdentityAgent none", f"IdentityAgent {path}")
    if not identity:
        config = config.replace(f"    IdentityFile {person.key}\n", "")
    person.config.write_text(config)


def test_the_identity_file_is_offered_before_an_agents_keys(
    strict: Sshd, reach: REACH, person: SshUser, tmp_path: Path
) -> None:
    with agent(tmp_path, *[keygen(tmp_path / f"other{n}") for n in range(6)]) as path:
        _with_agent(person, path, identity=False)
        with pytest.raises(AuthenticationFailed, match="rejected the login") as found:
            reach().connect()
        assert "it disconnected after" in found.value.why
        shown = public(tmp_path / "other0").split()[1]
        digest = sha256(base64.b64decode(shown)).digest()
        fingerprint = base64.b64encode(digest).decode().rstrip("=")
        assert f"the agent's other0 (SHA256:{fingerprint}), " in found.value.why
        assert found.value.hint.startswith("--identity FILE names the right key")
        reach(asked=SshFlags(identity=str(person.key))).connect().close()
        _with_agent(person, path, identity=True)
        person.configure(person.config.read_text().partition("Host *")[0])
        reach().connect().close()


def test_an_agents_key_is_selected_by_its_public_file(
    strict: Sshd, reach: REACH, person: SshUser, tmp_path: Path
) -> None:
    with agent(tmp_path, *[keygen(tmp_path / f"o{n}") for n in range(6)], person.key) as path:
        _with_agent(person, path, identity=False)
        identity = str(person.key.with_name("key.pub"))
        reach(asked=SshFlags(identity=identity)).connect().close()


def test_with_identities_only_other_agent_keys_are_not_offered(
    known: Sshd, reach: REACH, person: SshUser, tmp_path: Path
) -> None:
    other = keygen(tmp_path / "other")
    known.authorized.write_text(f"{public(other)}\n")
    with agent(tmp_path, other) as path:
        _with_agent(person, path, identity=True)
        reach().connect().close()
        person.config.write_text(person.config.read_text() + "    IdentitiesOnly yes\n")
        with pytest.raises(AuthenticationFailed):
            reach().connect()


def test_an_agent_that_refuses_to_sign_is_reported(
    known: Sshd, reach: REACH, person: SshUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_ASKPASS", "/bin/false")  # the user denies the use of the key
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    with agent(tmp_path) as path:
        environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
        subprocess.run(["ssh-add", "-q", "-c", str(person.key)], check=True, env=environment)
        _with_agent(person, path, identity=True)
        with pytest.raises(AuthenticationFailed, match="the agent refused to sign with") as found:
            reach().connect()
    assert found.value.hint == "--identity FILE names another key"


def test_a_missing_or_invalid_agent_is_not_an_error(
    known: Sshd, reach: REACH, person: SshUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.config.write_text(person.config.read_text().replace("    IdentityAgent none\n", ""))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nowhere"))
    reach().connect().close()
    person.key.unlink()
    with pytest.raises(AuthenticationFailed) as found:
        reach().connect()
    assert f"the agent at {tmp_path}/nowhere" in found.value.why


def test_a_certificate_beside_the_key_is_offered(
    person: SshUser, reach: REACH, tmp_path: Path
) -> None:
    authority = keygen(tmp_path / "authority")
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", ME]
    subprocess.run([*command, f"{person.key}.pub"], check=True, capture_output=True)
    line = f"TrustedUserCAKeys {authority}.pub"
    with sshd(tmp_path / "s", line) as server:
        person.map_id_to(server)
        person.add_known_hosts(server.known_hosts_line(INSTANCE))
        reach().connect().close()


def test_a_host_without_key_authentication_is_reported(
    person: SshUser, reach: REACH, tmp_path: Path
) -> None:
    lines = ["PubkeyAuthentication no", "PasswordAuthentication yes"]
    with sshd(tmp_path / "s", *lines, allow=[person.key]) as server:
        person.map_id_to(server)
        person.add_known_hosts(server.known_hosts_line(INSTANCE))
        with pytest.raises(AuthenticationFailed) as found:
            reach().connect()
    assert "it accepts: password" in found.value.why


def test_a_host_that_requires_a_second_factor_is_reported(
    person: SshUser, reach: REACH, tmp_path: Path
) -> None:
    lines = ["AuthenticationMethods publickey,password", "PasswordAuthentication yes"]
    with sshd(tmp_path / "s", *lines, allow=[person.key]) as server:
        person.map_id_to(server)
        person.add_known_hosts(server.known_hosts_line(INSTANCE))
        with pytest.raises(AuthenticationFailed, match="requires more than a key"):
            reach().connect()

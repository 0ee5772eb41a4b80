"""The SSH configuration of an instance, as OpenSSH reads it and as paramiko does without ssh."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.sshd import ME, SshUser

from spawn.cli.ssh.host_settings import HostSettings, Jump, jumps
from spawn.cli.ssh.ssh_config import SshConfig
from spawn.core.errors import InvalidArgument, SpawnError

ID = "i-0123456789abcdef0"


def ask(person: SshUser, name: str = ID, **more: Any) -> HostSettings:
    return SshConfig(person.environ).settings_for(name, **more)


def without_ssh(person: SshUser, name: str = ID) -> HostSettings:
    return SshConfig(person.environ | {"PATH": "/nowhere"}).settings_for(name)


Reader = Callable[[SshUser], HostSettings]
BOTH = pytest.mark.parametrize("read", [ask, without_ssh], ids=["openssh", "without"])


@BOTH
def test_a_host_block_for_instances_applies(person: SshUser, read: Reader) -> None:
    person.config.write_text(
        "Host i-*\n  HostName box.example.com\n  Port 2222\n  User ubuntu\n"
        f"  IdentityFile {person.folder}/%r_%h\n  IdentitiesOnly yes\n  ProxyJump a@b:22,c\n"
        f"  UserKnownHostsFile {person.folder}/one {person.folder}/two\n  HostKeyAlias other\n"
        "  GlobalKnownHostsFile /dev/null\n"
    )
    found = read(person)
    assert (found.name, found.host, found.port, found.user) == (
        ID,
        "box.example.com",
        2222,
        "ubuntu",
    )
    assert found.identities == (f"{person.folder}/ubuntu_box.example.com",)
    assert (found.identities_only, found.named) == (True, 1)
    assert found.jumps == (Jump("b", "a", 22), Jump("c"))
    assert found.known_hosts[:2] == (person.folder / "one", person.folder / "two")
    assert found.alias == "other"


@BOTH
def test_an_id_without_configuration_keeps_its_name_and_has_no_user(
    person: SshUser, read: Reader
) -> None:
    person.config.write_text("Host other\n  User nobody\n")
    found = read(person)
    assert (found.host, found.port, found.user, found.proxy_command) == (ID, 22, "", "")
    assert found.jumps == ()
    assert found.named == 0
    assert found.identities
    assert not found.identities_only


@BOTH
def test_a_configured_user_equal_to_the_login_name_is_used(person: SshUser, read: Reader) -> None:
    person.config.write_text(f"Host i-*\n  User {ME}\n")
    assert read(person).user == ME
    person.config.write_text("Host i-*\n  Port 22\n")
    assert read(person).user == ""


@BOTH
def test_includes_are_read(person: SshUser, read: Reader) -> None:
    more = person.folder / "more.d"
    more.mkdir()
    (more / "1.conf").write_text("Host i-*\n  HostName included.example\n")
    (more / "2.conf").write_text("Host *\n  User late\n")
    person.config.write_text(
        f"Include {more}/*.conf\nInclude {more}/none*.conf\nHost i-*\n  Port 4\n"
    )
    found = read(person)
    assert (found.host, found.user, found.port) == ("included.example", "late", 4)


@BOTH
def test_a_match_exec_block_applies(person: SshUser, read: Reader) -> None:
    person.config.write_text(
        'Match host i-* exec "test %n = ' + ID + '"\n  User yes\nMatch exec "false"\n  Port 9\n'
    )
    found = read(person)
    assert (found.user, found.port) == ("yes", 22)


@BOTH
def test_a_proxy_command_is_kept_for_the_shell(person: SshUser, read: Reader) -> None:
    person.config.write_text("Host i-*\n  ProxyCommand sh -c \"exec nc '%h' %p\"\n")
    assert read(person).proxy_command in (
        "sh -c \"exec nc '%h' %p\"",
        f"sh -c \"exec nc '{ID}' 22\"",
    )
    person.config.write_text("Host i-*\n  ProxyCommand none\n")
    assert read(person).proxy_command == ""


@BOTH
def test_an_invalid_configuration_is_reported_with_the_message_of_ssh(
    person: SshUser, read: Reader
) -> None:
    person.config.unlink()
    with pytest.raises(SpawnError, match="SSH configuration cannot be read") as found:
        read(person)
    assert "No such file" in found.value.why


def test_a_wrong_option_is_named(person: SshUser) -> None:
    person.config.write_text("Host *\n  Prot 22\n")
    with pytest.raises(SpawnError) as found:
        ask(person)
    assert "line 2: Bad configuration option: prot" in found.value.why


def test_options_override_the_configuration(person: SshUser) -> None:
    person.config.write_text("Host i-*\n  User configured\nMatch user typed\n  Port 7\n")
    found = ask(person, user="typed")
    assert (found.user, found.port) == ("typed", 7)


def test_known_hosts_with_spaces_in_their_names_are_found(person: SshUser) -> None:
    spaced = person.folder / "with two spaces"
    spaced.write_text("")
    person.config.write_text(f'Host *\n  UserKnownHostsFile "{spaced}" {person.folder}/b\n')
    assert ask(person).known_hosts[:2] == (spaced, person.folder / "b")


def test_a_configured_agent_is_used(person: SshUser, monkeypatch: pytest.MonkeyPatch) -> None:
    person.config.write_text("Host *\n  IdentityAgent none\n")
    assert ask(person).agent == "none"
    person.config.write_text("Host *\n  IdentityAgent ~/agent\n")
    assert ask(person).agent == str(SshConfig(person.environ).home / "agent")
    person.config.write_text("")
    assert ask(person).agent == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("none", ()),
        ("host", (Jump("host"),)),
        ("me@host:22", (Jump("host", "me", 22),)),
        ("ssh://me@host:22/", (Jump("host", "me", 22),)),
        ("me@[::1]:22", (Jump("::1", "me", 22),)),
    ],
)
def test_a_proxy_jump_is_parsed(text: str, found: tuple[Jump, ...]) -> None:
    assert jumps(text) == found


@pytest.mark.parametrize("text", ["-oProxyCommand=x", "a b:x", "a,,b", "host:port"])
def test_an_invalid_proxy_jump_is_rejected(text: str) -> None:
    with pytest.raises(InvalidArgument):
        jumps(text)


def test_files_of_another_user_are_not_read(person: SshUser) -> None:
    assert os.environ.get("HOME") != str(person.folder)
    assert Path(ask(person).identities[0]) == person.key

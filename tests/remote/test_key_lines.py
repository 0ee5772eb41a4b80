"""Keys in OpenSSH's formats: in files, on consoles, in known_hosts."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.sshd import keygen, public

from spawn.cli.ssh.host_key import parse_host_key
from spawn.cli.ssh.known_hosts import find_keys, format_line, host_name, parse_host_keys

ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIICmxDtoCu7sGDiZaRuJ6btY4L6TfH32Uxwq3EumVbnw"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXsLLqdFcrFuRsDmPLbGB4blT5YtY8qqU7O/8K2pJ0r"
BEGIN, END = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"


@pytest.fixture
def folder(tmp_path: Path, needs_sshd: None) -> Path:
    return tmp_path


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_key_of_ssh_keygen_is_parsed_with_its_fingerprint(folder: Path, kind: str) -> None:
    path = keygen(folder / "key", kind)
    key = parse_host_key(public(path))
    assert key is not None
    assert key.line == " ".join(public(path).split()[:2])
    shown = subprocess.run(
        ["ssh-keygen", "-lf", f"{path}.pub"], capture_output=True, text=True, check=True
    ).stdout
    assert shown.split()[1] == key.fingerprint
    assert str(key).rpartition("(")[2] == shown.strip().rpartition("(")[2]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAAA",
        ED.replace("ssh-ed25519", "ssh-rsa"),
        ED.replace("ssh-ed25519", "ssh-dss"),
        ED + "\u00e9",
        f"{ED} {'x' * 10_000}",
    ],
)
def test_an_invalid_key_line_is_not_parsed(line: str) -> None:
    assert parse_host_key(line) is None


def test_keys_are_read_from_the_newest_complete_block_of_a_console() -> None:
    first, second = parse_host_key(OTHER), parse_host_key(ED)
    output = (
        f"[  1.0] Linux\r\n{BEGIN}\r\n{OTHER} root@a\r\n{END}\r\nlogin:\n{BEGIN}\n{ED}\n{END}\n"
    )
    assert parse_host_keys(output) == (second,)
    assert parse_host_keys(output.rpartition(BEGIN)[0]) == (first,)
    assert parse_host_keys(output.rpartition(END)[0]) == (first,)
    assert parse_host_keys("") == ()


@pytest.mark.parametrize(
    "output",
    [
        f"{BEGIN}\n{ED}\n",
        f"{ED}\n{END}\n",
        f"{BEGIN}\n{END}\n",
        f"{BEGIN}\n{ED}\n[   12.3] audit: something of the kernel's\n{END}\n",
        f"{BEGIN}\n{ED[:-9]}!\n{END}\n",
        f"job says {BEGIN}\n{ED}\n{END}\n",
    ],
)
def test_a_block_with_other_lines_is_ignored(output: str) -> None:
    assert parse_host_keys(output) == ()


def test_known_hosts_are_found_by_name_pattern_and_hash(folder: Path) -> None:
    file = folder / "known_hosts"
    file.write_text(
        f"# a comment\n\ni-0abc,10.0.0.1 {ED}\n[10.0.0.2]:2222 {ED}\n"
        f"*.example.com,!bad.example.com {ED}\n@revoked i-0abc {OTHER}\n@cert-authority * {OTHER}\n"
        "broken\ni-0abc broken\n"
    )

    def lines(*names: str) -> list[int]:
        return [each.line for each in find_keys(file.read_text(), names)]

    assert lines("i-0abc") == [3, 6]
    assert lines("10.0.0.2") == []
    assert lines(host_name("10.0.0.2", 2222)) == [4]
    assert lines(host_name("10.0.0.1", 22)) == [3]
    assert lines("A.Example.com") == [5]
    assert lines("bad.example.com") == []
    found = list(find_keys(file.read_text(), ["i-0abc"]))
    assert [each.revoked for each in found] == [False, True]
    file.write_text(f"i-0abc {ED}\n[10.0.0.2]:2222 {OTHER}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert "i-0abc" not in file.read_text()
    assert [each.key.line for each in find_keys(file.read_text(), ["i-0abc"])] == [ED]
    assert [each.key.line for each in find_keys(file.read_text(), ["[10.0.0.2]:2222"])] == [OTHER]
    assert lines("10.0.0.2", "i-0abd") == []


@given(st.text())
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    parse_host_key(text)
    parse_host_keys(text)
    list(find_keys(text, ["i-0abc"]))
    list(find_keys(f"|1|{text} {ED}\n@{text}", ["i-0abc"]))


def test_a_written_entry_is_found() -> None:
    key = parse_host_key(ED)
    assert key is not None
    assert [
        each.key for each in find_keys(format_line("i-0abc", key, "a comment"), ["i-0abc"])
    ] == [key]

"""The private keys to try, from files and from the agent, in OpenSSH's order.

Most servers disconnect after five rejected keys. So named keys come first, from the agent or their
file; then the agent's other keys; then other key files that the agent does not have.
Source: `ssh(1)` -i and `ssh_config(5)` IdentityFile, IdentitiesOnly.
"""

import base64
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from spawn.cli.ssh.host_key import HostKey
from spawn.cli.ssh.host_settings import HostSettings
from spawn.cli.ssh.lazy_imports import paramiko
from spawn.store.files import read_small

_AGENT_SECONDS = 5
_AGENT_FAILURES = (5, 30, 102)
"""SSH_AGENT_FAILURE, and the numbers that older agents use for it. Source: OpenSSH's authfd.h."""
_Send = Callable[[Any], tuple[int, Any]]
_MAGIC = b"openssh-key-v1\0"
_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_END = "-----END OPENSSH PRIVATE KEY-----"


class Candidate(Struct, frozen=True):
    """A key to try, and its description for messages. `slow`: the user may have to confirm it."""

    words: str
    key: Any
    slow: bool = False


class Keyring:
    """Iterates over the keys for one host; records which keys cannot be used, and why."""

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings
        self.skipped: list[str] = []
        """`FILE: REASON` for each file that exists but cannot be used, and for a failing agent."""
        self.encrypted: list[str] = []
        """The files that need a passphrase."""
        self.refused = False
        """Whether the agent refused the newest request, such as a signature."""
        self._agent: Any = None

    def __iter__(self) -> Iterator[Candidate]:
        held = self._agent_keys()
        used: set[bytes] = set()
        later: list[Path] = []
        for number, name in enumerate(dict.fromkeys(self._settings.identities)):
            file = Path(name)
            blob = read_public_blob(file)
            if blob in held:
                used.add(blob)
                yield Candidate(f"the agent's {file}", held[blob], slow=True)
            elif file.is_file():
                if number < self._settings.named:
                    yield from self._from_files([file])
                else:
                    later.append(file)
        if not self._settings.identities_only:
            for blob, key in held.items():
                if blob not in used:
                    words = f"the agent's {key.comment}" if key.comment else "a key of the agent"
                    yield Candidate(f"{words} ({_fingerprint(blob)})", key, slow=True)
        yield from self._from_files(later)

    def close(self) -> None:
        """Close the connection to the agent."""
        if self._agent is not None:
            self._agent.close()

    def _from_files(self, files: list[Path]) -> Iterator[Candidate]:
        for file in files:
            key = self._load(file)
            if key is None:
                continue
            certificates = [f"{file}-cert.pub", *self._settings.certificates]
            for each in certificates:
                certified = self._load(file) if Path(each).is_file() else None
                if certified is not None and _certify(certified, each):
                    yield Candidate(f"{file} with {each}", certified)
            yield Candidate(str(file), key)

    def _load(self, file: Path) -> Any:
        """Load a private key; None, with an entry in `skipped`, if it cannot be used."""
        library = paramiko()
        try:
            data = read_small(file, follow=True).decode("utf-8", "replace")
        except OSError as error:
            return self._skip(file, error.strerror or "cannot be read")
        for kind in (library.Ed25519Key, library.ECDSAKey, library.RSAKey):
            try:
                return kind.from_private_key_file(str(file))
            except library.PasswordRequiredException:
                self.encrypted.append(str(file))
                return self._skip(file, "has a passphrase")
            except Exception:  # paramiko's parsers raise anything; another key type may fit
                continue
        why = "not a private key" if "PRIVATE KEY" not in data else "unsupported key type"
        return self._skip(file, why)

    def _skip(self, file: Path, why: str) -> None:
        entry = f"{file}: {why}"
        if entry not in self.skipped:
            self.skipped.append(entry)

    def _agent_keys(self) -> dict[bytes, Any]:
        """The agent's keys by their public blob, in the agent's order."""
        path = self._settings.agent or os.environ.get("SSH_AUTH_SOCK", "")
        if path in ("", "none"):
            return {}
        library = paramiko()
        agent = library.agent.AgentSSH()
        agent._send_message = self._note_refusal(agent._send_message)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_AGENT_SECONDS)
        try:
            connection.connect(path)
            agent._connect(connection)
        except (OSError, library.SSHException, struct.error, IndexError, ValueError) as error:
            connection.close()
            self.skipped.append(f"the agent at {path}: {error}")
            return {}
        connection.settimeout(None)  # signing may wait for the user; the login has a timeout
        self._agent = _Agent(agent)
        return {key.blob: key for key in agent.get_keys()}

    def _note_refusal(self, send: _Send) -> _Send:
        """Wrap paramiko's function that sends a request to the agent: its error for a refusal has
        only a text."""

        def send_and_note(message: Any) -> tuple[int, Any]:
            kind, answer = send(message)
            self.refused = kind in _AGENT_FAILURES
            return kind, answer

        return send_and_note


class _Agent:
    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def close(self) -> None:
        with suppress(OSError):
            self._agent._conn.shutdown(socket.SHUT_RDWR)
        self._agent._close()


def read_public_blob(file: Path) -> bytes | None:
    """The public blob of a private key file, read without its passphrase.

    It comes from the file itself if that is in OpenSSH's format, else from the `.pub` file next to
    it; None if neither has it. Source: PROTOCOL.key of OpenSSH.
    """
    with suppress(OSError, ValueError, IndexError, struct.error):
        text = read_small(file, follow=True).decode("ascii")
        if _BEGIN in text:
            data = base64.b64decode(text.partition(_BEGIN)[2].partition(_END)[0])
            if data.startswith(_MAGIC):
                return _public_blob(data[len(_MAGIC) :])
    with suppress(OSError, ValueError, IndexError):
        beside = file if file.suffix == ".pub" else file.with_name(f"{file.name}.pub")
        return base64.b64decode(read_small(beside, follow=True).decode().split()[1], validate=True)
    return None


def _fingerprint(blob: bytes) -> str:
    """A key's fingerprint, as `ssh-add -l` shows it; comments need not be unique."""
    return HostKey("", blob).fingerprint


def _public_blob(data: bytes) -> bytes:
    """The first public key: it follows cipher name, KDF name, KDF options and number of keys."""
    for _ in range(3):
        (length,) = struct.unpack_from(">I", data)
        data = data[4 + length :]
    (length,) = struct.unpack_from(">I", data, 4)
    blob = data[8 : 8 + length]
    if not blob:
        raise ValueError
    return blob


def _certify(key: Any, file: str) -> bool:
    """Load a key's certificate; False if the file is not a certificate of this key."""
    with suppress(Exception):  # paramiko's parsers raise anything
        key.load_certificate(file)
        return True
    return False

"""The keys that we can show: those of files, and those of an agent, in OpenSSH's order.

A server counts the keys that it is shown, and most hang up after five. So the named ones come
first, in whatever holds them; then the agent's others; then files that no agent has.
Source: `ssh(1)` -i and `ssh_config(5)` IdentityFile, IdentitiesOnly.
"""

import base64
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from spawn.cli.remote.library import paramiko
from spawn.cli.remote.settings import Settings
from spawn.core.ssh.key import HostKey
from spawn.store.files import read_small

_AGENT_SECONDS = 5
_MAGIC = b"openssh-key-v1\0"
_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_END = "-----END OPENSSH PRIVATE KEY-----"


class Candidate(Struct, frozen=True):
    """A key to be tried. `slow`: somebody may have to confirm its use."""

    words: str
    key: Any
    slow: bool = False


class Keyring:
    """All that can be shown to one host, and what was passed over and why."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.passed_over: list[str] = []
        """Files that are there and cannot be used, with the reason."""
        self.encrypted: list[str] = []
        """Those of them that want a passphrase."""
        self._agent: Any = None

    def __iter__(self) -> Iterator[Candidate]:
        held = self._held()
        used: set[bytes] = set()
        later: list[Path] = []
        for number, name in enumerate(dict.fromkeys(self._settings.identities)):
            file = Path(name)
            blob = public_of(file)
            if blob in held:
                used.add(blob)
                yield Candidate(f"the agent's {file}", held[blob], slow=True)
            elif file.is_file():
                if number < self._settings.named:
                    yield from self._of_files([file])
                else:
                    later.append(file)
        if not self._settings.identities_only:
            for blob, key in held.items():
                if blob not in used:
                    words = f"the agent's {key.comment}" if key.comment else "a key of the agent"
                    yield Candidate(f"{words} ({_print(blob)})", key, slow=True)
        yield from self._of_files(later)

    def close(self) -> None:
        """Leave the agent alone."""
        if self._agent is not None:
            self._agent.close()

    def _of_files(self, files: list[Path]) -> Iterator[Candidate]:
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
        """Read a private key; None, and a word in `passed_over`, when we cannot use it."""
        library = paramiko()
        try:
            data = read_small(file, follow=True).decode("utf-8", "replace")
        except OSError as error:
            return self._pass_over(file, error.strerror or "cannot be read")
        for kind in (library.Ed25519Key, library.ECDSAKey, library.RSAKey):
            try:
                return kind.from_private_key_file(str(file))
            except library.PasswordRequiredException:
                self.encrypted.append(str(file))
                return self._pass_over(file, "has a passphrase")
            except Exception:  # whatever its parsers raise: another kind may read it
                continue
        why = "no private key" if "PRIVATE KEY" not in data else "of a kind that cannot be used"
        return self._pass_over(file, why)

    def _pass_over(self, file: Path, why: str) -> None:
        said = f"{file}: {why}"
        if said not in self.passed_over:
            self.passed_over.append(said)

    def _held(self) -> dict[bytes, Any]:
        """The agent's keys by what they are, in its order."""
        path = self._settings.agent or os.environ.get("SSH_AUTH_SOCK", "")
        if path in ("", "none"):
            return {}
        library = paramiko()
        agent = library.agent.AgentSSH()
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_AGENT_SECONDS)
        try:
            connection.connect(path)
            agent._connect(connection)
        except (OSError, library.SSHException, struct.error, IndexError, ValueError) as error:
            connection.close()
            self.passed_over.append(f"the agent at {path}: {error}")
            return {}
        connection.settimeout(None)  # to use a key may take a touch; who asks bounds it
        self._agent = _Agent(agent)
        return {key.blob: key for key in agent.get_keys()}


class _Agent:
    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def close(self) -> None:
        with suppress(OSError):
            self._agent._conn.shutdown(socket.SHUT_RDWR)
        self._agent._close()


def public_of(file: Path) -> bytes | None:
    """The public half of a private key, without its passphrase: from the file itself where it is
    in OpenSSH's format, else from the `.pub` beside it; None when neither tells.

    Source: PROTOCOL.key of OpenSSH.
    """
    with suppress(OSError, ValueError, IndexError, struct.error):
        text = read_small(file, follow=True).decode("ascii")
        if _BEGIN in text:
            data = base64.b64decode(text.partition(_BEGIN)[2].partition(_END)[0])
            if data.startswith(_MAGIC):
                return _fifth(data[len(_MAGIC) :])
    with suppress(OSError, ValueError, IndexError):
        beside = file if file.suffix == ".pub" else file.with_name(f"{file.name}.pub")
        return base64.b64decode(read_small(beside, follow=True).decode().split()[1], validate=True)
    return None


def _print(blob: bytes) -> str:
    """A key's fingerprint, as `ssh-add -l` shows it: of several, comments tell none apart."""
    return HostKey("", blob).fingerprint


def _fifth(data: bytes) -> bytes:
    """The public key after cipher, derivation, its options and the number of keys."""
    for _ in range(3):
        (length,) = struct.unpack_from(">I", data)
        data = data[4 + length :]
    (length,) = struct.unpack_from(">I", data, 4)
    blob = data[8 : 8 + length]
    if not blob:
        raise ValueError
    return blob


def _certify(key: Any, file: str) -> bool:
    """Give a key its certificate; False when the file has another key's."""
    with suppress(Exception):  # the library raises whatever parsing the file raises
        key.load_certificate(file)
        return True
    return False

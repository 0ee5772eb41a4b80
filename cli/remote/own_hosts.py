"""Our own known hosts: what was learned of instances, under their ids.

The lines are OpenSSH's, so that `ssh-keygen -R i-... -f FILE` takes one away.
"""

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from spawn.core.ssh.key import HostKey
from spawn.core.ssh.known_hosts import entry, known
from spawn.store.files import read_small, regular
from spawn.store.paths import Roots

_MOST_BYTES = 64 * 1024 * 1024
"""Of a file of known hosts: a line has some 600."""


class OwnHosts:
    """The file; it need not be there."""

    def __init__(self, roots: Roots) -> None:
        self.path = roots.cache / "ssh" / "known_hosts"

    def keys(self, name: str) -> tuple[HostKey, ...]:
        """The keys that are known for a name.

        Raises:
            OSError: The file is there and cannot be read: that nothing is known is not said.
        """
        return tuple(each.key for each in known(text_of(self.path), [name]) if not each.revoked)

    def learn(self, name: str, keys: Sequence[HostKey], source: str) -> None:
        """Keep keys for the next time; those that are there stay. No place, no error: the keys are
        looked up again then."""
        with suppress(OSError):
            self.path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = regular(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with open(fd, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                there = file.read()
                held = {each.key for each in known(there.decode("utf-8", "replace"), [name])}
                lines = [entry(name, key, f"spawn: {source}") for key in keys if key not in held]
                if lines and there and not there.endswith(b"\n"):
                    lines.insert(0, "")
                file.write("".join(f"{line}\n" for line in lines).encode())


def text_of(path: Path) -> str:
    """A file's text; empty when it is not there."""
    try:
        return read_small(path, _MOST_BYTES, follow=True).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""

"""spawn's own `known_hosts` file: verified host keys of instances, under their instance ids.

It is in OpenSSH's format, so `ssh-keygen -R i-... -f FILE` removes a key.
"""

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from spawn.cli.ssh.host_key import HostKey
from spawn.cli.ssh.known_hosts import find_keys, format_line
from spawn.store.files import open_regular, read_small
from spawn.store.queue_dir.paths import Roots

_MOST_BYTES = 64 * 1024 * 1024
"""Size limit of a `known_hosts` file; a line has about 600 bytes."""


class KnownHostsFile:
    """The file, which need not exist."""

    def __init__(self, roots: Roots) -> None:
        self.path = roots.cache / "ssh" / "known_hosts"

    def keys(self, name: str) -> tuple[HostKey, ...]:
        """The keys stored under a name; none if the file does not exist.

        Raises:
            OSError: The file exists but cannot be read.
        """
        return tuple(
            each.key
            for each in find_keys(read_text_or_empty(self.path), [name])
            if not each.revoked
        )

    def add(self, name: str, keys: Sequence[HostKey], source: str) -> None:
        """Add keys under a name; `source` becomes their comment. A failed write is ignored."""
        with suppress(OSError):
            self.path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            fd = open_regular(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with open(fd, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                content = file.read()
                held = {each.key for each in find_keys(content.decode("utf-8", "replace"), [name])}
                lines = [
                    format_line(name, key, f"spawn: {source}") for key in keys if key not in held
                ]
                if lines and content and not content.endswith(b"\n"):
                    lines.insert(0, "")
                file.write("".join(f"{line}\n" for line in lines).encode())


def read_text_or_empty(path: Path) -> str:
    """The text of a file, empty if it does not exist; invalid UTF-8 is replaced."""
    try:
        return read_small(path, _MOST_BYTES, follow=True).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""

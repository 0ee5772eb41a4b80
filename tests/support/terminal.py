"""A terminal on which a command runs."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from tests.support import warm


class Terminal:
    """The command's output, and a keyboard."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int) -> None:
        self.process = process
        self._master = master
        self._seen = bytearray()
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """All output so far, including control sequences, with lines ended by a newline."""
        return bytes(self._seen).decode(errors="replace").replace("\r\n", "\n")

    def type(self, keys: str) -> None:
        r"""Type keys: `\x03` is Ctrl-C."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int) -> None:
        """Change the width, as a window manager does; the command gets SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def end(self, seconds: float = 60.0) -> int:
        """Wait for the command's end and its last output; returns its exit code."""
        code = self.process.wait(seconds)
        self._thread.join(seconds)
        return code

    def _read(self) -> None:
        with suppress(OSError):  # no process has it open any more
            while data := os.read(self._master, 1 << 16):
                self._seen += data


@contextmanager
def terminal(
    command: Sequence[str], environ: Mapping[str, str], folder: Path, *, columns: int
) -> Iterator[Terminal]:
    """Run a command on a terminal of 24 rows, as a shell does; killed at the end of the block."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    options: dict[str, Any] = {
        "env": {**environ, "TERM": "xterm"},
        "cwd": folder,
        "stdin": slave,
        "stdout": slave,
        "stderr": slave,
    }
    if warm.cold or command[0] != warm.SPAWN:
        process = subprocess.Popen(["setsid", "--ctty", "--wait", *command], **options)
    else:
        process = warm.spawn(command, start_new_session=True, **options)
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)

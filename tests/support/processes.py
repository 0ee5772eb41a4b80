"""The processes of this machine, as `/proc` shows them."""

import contextlib
import os
import re
import signal
from pathlib import Path

from spawn.core.domain.events import JobStarted


def processes_with_variable(variable: str) -> list[int]:
    """Return the processes that were started with `NAME=value` in their environment."""
    wanted = variable.encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def attempt_processes(started: JobStarted) -> list[int]:
    """Return the processes of an attempt's command and its descendants."""
    return processes_with_variable(f"SPAWN_RUN={started.token}")


def parent(pid: int) -> int:
    """Return the parent of a process."""
    (found,) = re.findall(r"^PPid:\s(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found)


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def sigterm_kills(pid: int) -> bool:
    """Whether SIGTERM would kill a process: it neither ignores nor handles the signal."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    masks = re.findall(r"^Sig(?:Ign|Cgt):\s([0-9a-f]+)$", status, re.MULTILINE)
    return not any(int(mask, 16) >> signal.SIGTERM - 1 & 1 for mask in masks)


def describe(pid: int) -> str:
    """Describe a process for the message of a failed test."""
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        return f"{pid} {command.decode(errors='replace').strip()}"
    return str(pid)

"""Named points at which a test may have a process killed, as if its power had gone there.

`SPAWN_FAILPOINT=NAME:COUNT:FILE` kills the process that is the COUNTth to come to the point of that
name; FILE counts, so that it is the COUNTth of all processes, and only that one. Each name is used
at one place. Nothing but crash tests sets the variable, and jobs do not get it. ARCHITECTURE.md
says of each point what is true there and what follows.
"""

import os
import signal
from collections.abc import Callable

VARIABLE = "SPAWN_FAILPOINT"

NAMES = (
    "runner.locked",
    "runner.claimed",
    "runner.owned",
    "runner.adopted",
    "runner.prepared",
    "runner.committed",
    "runner.went",
    "runner.ended",
    "runner.collected",
    "runner.outcome",
    "runner.published",
    "runner.requested",
    "runner.answered",
    "runner.stopping",
    "runner.finished",
    "publisher.collecting",
    "publisher.manifest",
    "publisher.logs",
    "publisher.file",
    "publisher.uploaded",
    "replica.claiming",
    "replica.claimed",
    "replica.shipping",
    "replica.shipped",
    "replica.packing",
    "replica.packed",
    "replica.draining",
    "supervisor.forked",
    "supervisor.ordered",
    "supervisor.folder",
    "supervisor.ready",
    "supervisor.went",
    "supervisor.stopping",
    "supervisor.stopped",
    "supervisor.ended",
    "supervisor.swept",
    "supervisor.drained",
    "supervisor.recorded",
)

watch: Callable[[str], None] | None = None
"""Told of every point that is reached: the simulation's processes die at them too."""

_name, _count, _file = [*os.environ.get(VARIABLE, "").split(":", 2), "", ""][:3]


def reached(name: str) -> None:
    """Say that the process is at this point."""
    if watch is not None:
        watch(name)
    if name != _name:
        return
    fd = os.open(_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, b".")
    here = os.fstat(fd).st_size
    os.close(fd)
    if here == int(_count):
        os.kill(os.getpid(), signal.SIGKILL)

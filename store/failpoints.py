"""Named points at which crash tests kill a process.

`SPAWN_FAILPOINT=NAME:COUNT:FILE` kills the process that reaches the point as the COUNTth. FILE
holds the count over all processes. Each name is used in one place. Only crash tests set the
variable, and jobs do not get it. `docs/crashes.md` describes the state
at each point.
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
"""Called with every point that is reached; the simulation uses it to crash its processes."""

_name, _count, _file = [*os.environ.get(VARIABLE, "").split(":", 2), "", ""][:3]


def mark(name: str) -> None:
    """Mark a failpoint; kill this process if the variable says so."""
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

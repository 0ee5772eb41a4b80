"""Where things are kept on a machine.

`SPAWN_HOME` gives `$SPAWN_HOME/{state,log,cache}`; else `/var/lib/spawn-queue` and
`/var/log/spawn-queue` where both can be written; else the XDG folders of the user. What is a
person's own, their key, is in `$SPAWN_HOME/config`, else in the XDG folder.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

_SYSTEM_STATE = Path("/var/lib/spawn-queue")
_SYSTEM_LOG = Path("/var/log/spawn-queue")
_SYSTEM_CACHE = Path("/var/cache/spawn-queue")


class Roots(Struct, frozen=True):
    """The folders that everything is kept under: absolute paths."""

    state: Path
    log: Path
    cache: Path

    @property
    def queues(self) -> Path:
        """One folder for each queue."""
        return self.state / "queues"

    @property
    def objects(self) -> Path:
        """The object store of queues without a bucket."""
        return self.state / "objects"

    def queue(self, queue_id: str) -> "QueuePaths":
        """The paths of one queue, whether it is there or not."""
        return QueuePaths(folder=self.queues / queue_id, log=self.log / queue_id)


class QueuePaths(Struct, frozen=True):
    """The files of one queue."""

    folder: Path
    log: Path
    """Folder of the combined logs."""

    @property
    def events(self) -> Path:
        """The event log, a SQLite database."""
        return self.folder / "events.db"

    @property
    def lock(self) -> Path:
        """Held by the one process that may write the event log."""
        return self.folder / "runner.lock"

    @property
    def runner_log(self) -> Path:
        """What a detached runner had to say."""
        return self.folder / "runner.log"

    @property
    def requests(self) -> Path:
        """What people ask of a live runner."""
        return self.folder / "requests"

    @property
    def jobs(self) -> Path:
        """One folder for each job, and in it one for each attempt."""
        return self.folder / "jobs"

    def attempt(self, job_id: str, attempt: int, token: str) -> Path:
        """The folder of one attempt."""
        return self.jobs / job_id / f"attempt-{attempt}.{token}"

    def has(self, folder: str) -> bool:
        """Whether an attempt's folder is one of ours, and there; the same path may be another
        machine's."""
        return folder.startswith(f"{self.jobs}/") and Path(folder).is_dir()

    def job_log(self, job_id: str) -> Path:
        """The combined output of a job's attempts, each line with its time."""
        return self.log / f"{job_id}.log"


def roots(environ: Mapping[str, str]) -> Roots:
    """Find this machine's folders; none of them is made."""
    home = environ.get("SPAWN_HOME")
    if home:
        base = Path(home).absolute()
        return Roots(base / "state", base / "log", base / "cache")
    user = Path(environ.get("HOME") or "/")
    cache = _xdg(environ, "XDG_CACHE_HOME", user / ".cache")
    if _writable(_SYSTEM_STATE) and _writable(_SYSTEM_LOG):
        return Roots(
            _SYSTEM_STATE, _SYSTEM_LOG, _SYSTEM_CACHE if _writable(_SYSTEM_CACHE) else cache
        )
    state = _xdg(environ, "XDG_STATE_HOME", user / ".local" / "state")
    return Roots(state, state / "log", cache)


def ssh_key(environ: Mapping[str, str]) -> Path:
    """The private key of this person's instances, whether it is there or not; nothing is made."""
    home = environ.get("SPAWN_HOME")
    if home:
        base = Path(home).absolute() / "config"
    else:
        base = _xdg(environ, "XDG_CONFIG_HOME", Path(environ.get("HOME") or "/") / ".config")
    return base / "ssh" / "id_ed25519"


def _xdg(environ: Mapping[str, str], name: str, default: Path) -> Path:
    """A folder of ours. Source: the XDG base directory specification, which ignores what is not
    absolute."""
    named = Path(environ.get(name, ""))
    return (named if named.is_absolute() else default) / "spawn-queue"


def _writable(folder: Path) -> bool:
    """Whether `folder` can be written, or made."""
    return os.access(folder if folder.exists() else folder.parent, os.W_OK)

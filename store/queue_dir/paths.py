"""The folders and files of spawn on a machine.

With `SPAWN_HOME` they are in `$SPAWN_HOME/{state,log,cache}`. Otherwise they are in
`/var/lib/spawn-queue` and `/var/log/spawn-queue` if both are writable, else in the user's XDG
folders. The user's SSH key is in `$SPAWN_HOME/config` or the XDG configuration folder.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

_SYSTEM_STATE = Path("/var/lib/spawn-queue")
_SYSTEM_LOG = Path("/var/log/spawn-queue")
_SYSTEM_CACHE = Path("/var/cache/spawn-queue")


class Roots(Struct, frozen=True):
    """The root folders, as absolute paths."""

    state: Path
    log: Path
    cache: Path

    @property
    def queues(self) -> Path:
        """Folder with one folder per queue."""
        return self.state / "queues"

    @property
    def objects(self) -> Path:
        """Object store of queues without a bucket."""
        return self.state / "objects"

    def queue(self, queue_id: str) -> "QueuePaths":
        """Return the paths of a queue, which need not exist."""
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
        """Lock of the only process that may write the event log."""
        return self.folder / "runner.lock"

    @property
    def runner_log(self) -> Path:
        """Messages of a detached runner."""
        return self.folder / "runner.log"

    @property
    def requests(self) -> Path:
        """Requests to a live runner."""
        return self.folder / "requests"

    @property
    def jobs(self) -> Path:
        """Folder with one folder per job, which has one folder per attempt."""
        return self.folder / "jobs"

    def attempt(self, job_id: str, attempt: int, token: str) -> Path:
        """Return the folder of an attempt."""
        return self.jobs / job_id / f"attempt-{attempt}.{token}"

    def has(self, folder: str) -> bool:
        """Whether an attempt's folder exists here; a log may name a folder of another machine."""
        return folder.startswith(f"{self.jobs}/") and Path(folder).is_dir()

    def job_log(self, job_id: str) -> Path:
        """Return the combined log of a job's attempts, which has a time on each line."""
        return self.log / f"{job_id}.log"


def roots(environ: Mapping[str, str]) -> Roots:
    """Return this machine's root folders; creates none of them."""
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
    """Return the path of the user's private key for instances; creates nothing."""
    home = environ.get("SPAWN_HOME")
    if home:
        base = Path(home).absolute() / "config"
    else:
        base = _xdg(environ, "XDG_CONFIG_HOME", Path(environ.get("HOME") or "/") / ".config")
    return base / "ssh" / "id_ed25519"


def _xdg(environ: Mapping[str, str], name: str, default: Path) -> Path:
    """Return spawn's folder below an XDG folder.

    Source: the XDG base directory specification, which ignores relative paths.
    """
    path = Path(environ.get(name, ""))
    return (path if path.is_absolute() else default) / "spawn-queue"


def _writable(folder: Path) -> bool:
    """Whether `folder` can be written or created."""
    return os.access(folder if folder.exists() else folder.parent, os.W_OK)

"""Reports when the replica stops being updated, and when it is updated again."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from spawn.core.values.timestamps import format_timestamp
from spawn.runner.replication.replicator import Lag
from spawn.runner.troubles import Troubles
from spawn.store.log import replica_progress as hints
from spawn.store.replica.lease import START_SECONDS

_JOBS_START = (
    "jobs keep running, and new ones start until the lease has not been renewed for "
    f"{START_SECONDS:.0f} s"
)


class LagReport:
    """Saves the replica's lag for `status`, and warns when the replica stops or resumes."""

    def __init__(
        self, folder: Path, location: str, say: Callable[[str], None], troubles: Troubles
    ) -> None:
        self._troubles = troubles
        self._folder = folder
        self._location = location
        self._say = say
        self._since = ""
        before = hints.load_progress(folder)
        self._known = before.seq if before is not None and before.location == location else 0
        """The newest seq in the store that an earlier runner reported."""

    def __call__(self, lag: Lag) -> None:
        if lag.trouble and not self._since:
            self._since = format_timestamp(datetime.now(UTC))
            effect = _JOBS_START if lag.established else "no job starts until it can"
            self._say(f"the log cannot be copied to {self._location}: {lag.trouble}; {effect}")
        elif not lag.trouble and self._since:
            self._since = ""
            self._say(f"the log is copied to {self._location} again")
        if lag.trouble:
            what = f"the log cannot be copied to {self._location}"
            holds = not lag.established
            self._troubles.begin("replica", what, why=lag.trouble, holds=holds)
        else:
            self._troubles.end("replica")
        hint = hints.ReplicaProgress(
            location=self._location,
            seq=lag.seq if lag.established else max(lag.seq, self._known),
            established=lag.established,
            trouble=lag.trouble,
            kind=lag.kind,
            lapsed=lag.lapsed,
            since=self._since,
            fence=lag.fence,
        )
        hints.save_progress(self._folder, hint)

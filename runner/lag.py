"""What people learn of a replica that stands still, and that it goes on again."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from spawn.core.moments import stamp
from spawn.runner.replicator import Lag
from spawn.runner.troubles import Troubles
from spawn.store import lag as hints
from spawn.store.replica.lease import START_SECONDS

GOES_ON = (
    "the queue goes on, but starts nothing new "
    f"when its lease could not be renewed for {START_SECONDS:.0f} s"
)


class LagReport:
    """Leaves a hint for status, and says aloud when the replica stands still or goes on."""

    def __init__(
        self, folder: Path, location: str, say: Callable[[str], None], troubles: Troubles
    ) -> None:
        self._troubles = troubles
        self._folder = folder
        self._location = location
        self._say = say
        self._since = ""
        before = hints.find(folder)
        self._known = before.seq if before is not None and before.location == location else 0
        """What an earlier runner knew to be there."""

    def __call__(self, lag: Lag) -> None:
        if lag.trouble and not self._since:
            self._since = stamp(datetime.now(UTC))
            goes = GOES_ON if lag.established else "nothing new begins until it can"
            self._say(f"the log does not get to {self._location}: {lag.trouble}; {goes}")
        elif not lag.trouble and self._since:
            self._since = ""
            self._say(f"the log gets to {self._location} again")
        if lag.trouble:
            what = f"the log does not get to {self._location}"
            holds = not lag.established
            self._troubles.begin("replica", what, why=lag.trouble, holds=holds)
        else:
            self._troubles.end("replica")
        hint = hints.Lag(
            location=self._location,
            seq=lag.seq if lag.established else max(lag.seq, self._known),
            established=lag.established,
            trouble=lag.trouble,
            kind=lag.kind,
            lapsed=lag.lapsed,
            since=self._since,
            fence=lag.fence,
        )
        hints.leave(self._folder, hint)

"""The time of this machine."""

import time
from datetime import UTC, datetime


class SystemClock:
    """See `Clock`."""

    def wall(self) -> datetime:
        """See `Clock.wall`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

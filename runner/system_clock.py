"""The time of this machine."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The clock of the operating system."""

    def wall(self) -> datetime:
        """The current time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()

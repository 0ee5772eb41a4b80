"""What every command needs: this machine's folders, the clock, messages to the user."""

import os
import sys
from datetime import UTC, datetime

from spawn.store.queue_dir.paths import Roots, roots


def local_roots() -> Roots:
    """Return this machine's folders."""
    return roots(os.environ)


def now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


def say(text: str) -> None:
    """Print a message to stderr, with unprintable characters escaped."""
    from spawn.core.values.text import printable

    print(printable(text), file=sys.stderr, flush=True)

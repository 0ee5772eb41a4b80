"""A queue's lease in one line."""

from spawn.cli.render.text import printable
from spawn.store.replica.lease import Seen, describe


def line(seen: Seen | None) -> str:
    """Describe the owner of a lease, and when it was renewed or handed back."""
    if seen is None:
        return "none"
    owner = f"of {printable(describe(seen.lease))}, epoch {seen.lease.epoch}"
    age = f"{seen.age:.0f} s ago"
    if seen.lease.handed_back:
        return f"{owner}, handed back {age}"
    return f"{owner}, renewed {age}" + (", expired" if seen.expired else "")

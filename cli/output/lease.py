"""The line that tells who owns a queue in S3."""

from spawn.core.values.text import printable
from spawn.store.replica.lease import LeaseSnapshot, owner_name


def lease_line(seen: LeaseSnapshot | None) -> str:
    """Describe the owner of a lease, and when it was renewed or handed back."""
    if seen is None:
        return "none"
    owner = f"of {printable(owner_name(seen.lease))}, epoch {seen.lease.epoch}"
    age = f"{seen.age:.0f} s ago"
    if seen.lease.handed_back:
        return f"{owner}, handed back {age}"
    return f"{owner}, renewed {age}" + (", expired" if seen.expired else "")

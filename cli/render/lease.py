"""Who owns a queue by its lease, in a line."""

from spawn.cli.render.text import printable
from spawn.store.replica.lease import Seen, describe


def line(seen: Seen | None) -> str:
    """Say who owns a queue, and how long ago they said so."""
    if seen is None:
        return "none"
    said = f"of {printable(describe(seen.lease))}, epoch {seen.lease.epoch}"
    age = f"{seen.age:.0f} s ago"
    if seen.lease.handed_back:
        return f"{said}, handed back {age}"
    return f"{said}, renewed {age}" + (", expired" if seen.expired else "")

"""Keys of the log's objects. A segment's key has its first seq: only one writer can create it."""

QUEUE = "_spawn/queue.json"
"""The submitted configuration, which also claims the place for its queue."""
LEASE = "_spawn/lease.json"
LOG = "_spawn/log/"
PACKS = "_spawn/packs/"
_SUFFIX = ".jsonl"


def segment(first: int) -> str:
    """The key of the segment whose first event has this seq."""
    return f"{LOG}{first:012d}{_SUFFIX}"


def pack(first: int, last: int) -> str:
    """The key of the pack that holds these events, both ends included."""
    return f"{PACKS}{first:012d}-{last:012d}{_SUFFIX}"


def before_packs(first: int) -> str:
    """A key that sorts before all packs that start at `first` or later, and after all others."""
    return f"{PACKS}{first:012d}"


def parse_segment(key: str) -> int | None:
    """The first seq in a segment's key; None for any other key."""
    name = key.removeprefix(LOG).removesuffix(_SUFFIX)
    if not (name.isascii() and name.isdigit()):
        return None
    return int(name) if int(name) and segment(int(name)) == key else None


def parse_pack(key: str) -> tuple[int, int] | None:
    """The first and last seq in a pack's key; None for any other key."""
    first, _, last = key.removeprefix(PACKS).removesuffix(_SUFFIX).partition("-")
    if not all(part.isascii() and part.isdigit() for part in (first, last)):
        return None
    found = int(first), int(last)
    return found if 1 <= found[0] <= found[1] and pack(*found) == key else None

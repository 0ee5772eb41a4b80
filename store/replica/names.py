"""What the log's objects are called: by first seq, so that a name can be won only once."""

QUEUE = "_spawn/queue.json"
"""The configuration as it was submitted, which also says whose place this is."""
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
    """A key that sorts before those of all packs that begin here or later, and after the rest."""
    return f"{PACKS}{first:012d}"


def parse_segment(key: str) -> int | None:
    """The seq that a segment's key names; None for a key of another form."""
    name = key.removeprefix(LOG).removesuffix(_SUFFIX)
    if not (name.isascii() and name.isdigit()):
        return None
    return int(name) if int(name) and segment(int(name)) == key else None


def parse_pack(key: str) -> tuple[int, int] | None:
    """The seqs that a pack's key names; None for a key of another form."""
    first, _, last = key.removeprefix(PACKS).removesuffix(_SUFFIX).partition("-")
    if not all(part.isascii() and part.isdigit() for part in (first, last)):
        return None
    found = int(first), int(last)
    return found if 1 <= found[0] <= found[1] and pack(*found) == key else None

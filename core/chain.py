"""The hash chain: `hash(n) = SHA-256(hash(n-1) || line(n))`, `hash(0)` that of the queue id."""

from hashlib import sha256

from spawn.core.errors import CorruptLog


def genesis(queue_id: str) -> bytes:
    """Return `hash(0)`: 32 bytes."""
    return sha256(queue_id.encode()).digest()


def link(before: bytes, line: bytes) -> bytes:
    """Return the hash of the chain up to and with `line`: 32 bytes."""
    return sha256(before + line).digest()


def export(hash_: bytes, line: bytes) -> bytes:
    """Write a line as it travels: `<hash in hex> <line>`."""
    return hash_.hex().encode() + b" " + line


def parse(exported: bytes) -> tuple[bytes, bytes]:
    """Take `<hash> <line>` apart.

    Raises:
        CorruptLog: It has not that form.
    """
    hex_, space, line = exported.partition(b" ")
    try:
        hash_ = bytes.fromhex(hex_.decode("ascii"))
    except ValueError:
        hash_ = b""
    if len(hash_) != 32 or len(hex_) != 64 or not space or hex_ != hex_.lower():
        raise CorruptLog("a line does not begin with its hash")
    return hash_, line

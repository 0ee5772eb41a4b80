"""The hash chain: `hash(0) = SHA-256(queue_id)`, `hash(n) = SHA-256(hash(n-1) || line(n))`."""

from hashlib import sha256

from spawn.core.errors import CorruptLog


def genesis(queue_id: str) -> bytes:
    """Return `hash(0)`: 32 bytes."""
    return sha256(queue_id.encode()).digest()


def next_hash(before: bytes, line: bytes) -> bytes:
    """Return the hash that follows `before` once `line` is appended: 32 bytes."""
    return sha256(before + line).digest()


def format_line(hash_: bytes, line: bytes) -> bytes:
    """Format a line for transport: `<hash in lowercase hex> <line>`."""
    return hash_.hex().encode() + b" " + line


def parse_line(exported: bytes) -> tuple[bytes, bytes]:
    """Split `<hash> <line>` into hash and line.

    Raises:
        CorruptLog: The input does not have this form.
    """
    hex_, space, line = exported.partition(b" ")
    try:
        hash_ = bytes.fromhex(hex_.decode("ascii"))
    except ValueError:
        hash_ = b""
    if len(hash_) != 32 or len(hex_) != 64 or not space or hex_ != hex_.lower():
        raise CorruptLog("a line does not begin with its hash")
    return hash_, line

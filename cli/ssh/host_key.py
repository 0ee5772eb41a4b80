"""Public host keys in OpenSSH's format.

Source: RFC 4253 section 6.6 for the encoding, sshd(8) for the lines.
"""

import base64
import binascii
from hashlib import sha256

from msgspec import Struct

TYPES = {
    "ssh-ed25519": "ED25519",
    "ecdsa-sha2-nistp256": "ECDSA",
    "ecdsa-sha2-nistp384": "ECDSA",
    "ecdsa-sha2-nistp521": "ECDSA",
    "ssh-rsa": "RSA",
}
"""The accepted key types, with their common names."""
_LONGEST = 8192
"""Characters; an RSA key of 16,384 bits has 2,800."""


class HostKey(Struct, frozen=True):
    """A public key. `blob` is its wire encoding, which includes the type."""

    type: str
    blob: bytes

    @property
    def line(self) -> str:
        """The key as in a `.pub` file, without a comment."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """The fingerprint as `ssh-keygen -l` shows it: `SHA256:...`."""
        digest = base64.b64encode(sha256(self.blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"

    def __str__(self) -> str:
        return f"{self.fingerprint} ({TYPES.get(self.type, self.type)})"


def parse_host_key(text: str) -> HostKey | None:
    """Parse `<type> <base64> [comment]`; None if the line is invalid.

    The type must equal the type encoded in the key.
    """
    fields = text.split(None, 2)
    if len(fields) < 2 or len(text) > _LONGEST or fields[0] not in TYPES:
        return None
    try:
        blob = base64.b64decode(fields[1].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    name = fields[0].encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name) or len(blob) < len(name) + 8:
        return None
    return HostKey(fields[0], blob)

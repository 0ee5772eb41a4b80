"""The names of what launches make. The same place has the same names, so that all is made once."""

from hashlib import sha256

TAG_OURS = "spawn:made-by"
"""On all that a launch makes besides the instance: what lacks it is somebody else's."""
OURS = "spawn-launch"
GROUP = "spawn-queue-ssh"
"""Of the security group: one a network."""
_ROLE_LENGTH = 64
"""Source: IAM's limits for the names of roles and instance profiles."""


def role(region: str, bucket: str, *, queue_id: str | None = None) -> str:
    """The role and the instance profile of a bucket's instances, or of one queue's.

    A queue whose environment is secret has its own: it alone may read it.
    """
    of = bucket if queue_id is None else f"{bucket}\0{queue_id}"
    return f"spawn-queue-{region}-{_short(of.encode())}"[:_ROLE_LENGTH]


def key_pair(public_key: bytes) -> str:
    """The key pair of a public key: each key has its own name, so no two persons meet in one."""
    return f"spawn-queue-{_short(public_key)}"


def parameter(queue_id: str, launch_id: str) -> str:
    """The parameter that holds the environment of one launch."""
    return f"/spawn-queue/{queue_id}/{launch_id}/env"


def _short(data: bytes) -> str:
    return sha256(data).hexdigest()[:12]

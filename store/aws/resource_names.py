"""Deterministic names of AWS resources, so that launches reuse each other's resources."""

from hashlib import sha256

MADE_BY_TAG = "spawn:made-by"
"""On every resource of a launch except the instance; spawn uses no resource without it."""
MADE_BY_VALUE = "spawn-launch"
GROUP = "spawn-queue-ssh"
"""Name of the security group; one per VPC."""
_ROLE_LENGTH = 64
"""Maximum length. Source: IAM's limits for the names of roles and instance profiles."""


def role_name(region: str, bucket: str, *, queue_id: str | None = None) -> str:
    """Return the name of the role and instance profile of a bucket, or of one queue.

    A queue with an environment file has its own role: no other role may read that environment.
    """
    of = bucket if queue_id is None else f"{bucket}\0{queue_id}"
    return f"spawn-queue-{region}-{_digest(of.encode())}"[:_ROLE_LENGTH]


def key_pair_name(public_key: bytes) -> str:
    """Return the key pair name of a public key; different keys have different names."""
    return f"spawn-queue-{_digest(public_key)}"


def parameter_name(queue_id: str, launch_id: str) -> str:
    """Return the name of the parameter with the environment of one launch."""
    return f"/spawn-queue/{queue_id}/{launch_id}/env"


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:12]

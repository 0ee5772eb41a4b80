"""The plan by which a new instance downloads, installs and runs its queue."""

from typing import Literal

from msgspec import Struct

OnComplete = Literal["keep", "stop", "terminate"]
"""What happens to the instance when its queue ends."""
DEFAULT_USER = "ec2-user"
"""Login user of Amazon Linux images; the runner runs as this user."""


class BootPlan(Struct, frozen=True, kw_only=True):
    """The plan of one launch. It contains no secrets: any user of the instance can read user data.

    Objects of the launch are at `s3://<bucket>/<prefix>_spawn/boot/<launch_id>/<name>`.
    """

    launch_id: str
    """Unique to this launch; a queue that is resumed on a new instance gets a new one."""
    queue_id: str
    region: str
    bucket: str
    prefix: str
    """Prefix of the queue's objects, with a trailing slash."""
    files: dict[str, str]
    """Names of the launch's objects, each with the hex SHA-256 of its content."""
    user: str = DEFAULT_USER
    resume: bool = False
    """Take over a queue that was started on another machine."""
    env_parameter: str | None = None
    """Name of the SSM SecureString with the environment of the jobs."""
    ttl_at: str | None = None
    """Time at which the queue stops gracefully, as RFC 3339 in UTC. An absolute time, so that a
    restart of the instance does not extend it."""
    on_complete: OnComplete = "keep"
    bucket_owner: str | None = None
    """Account that owns the bucket, if known."""
    sse: str | None = None
    sse_key: str | None = None
    """Server-side encryption, if not the bucket's default; see `store.objects.encryption`."""
    force: bool = False
    """With `resume`: take over even if the owner may still be alive."""
    retry_failed: bool = False
    """With `resume`: retry failed jobs at the takeover, but not at later boots."""
    kill_grace: float = 30.0
    """The configuration's `kill_grace` in seconds; the unit's stop timeout exceeds it."""

"""All that a new instance needs to know to fetch, install and run its queue."""

from typing import Literal

from msgspec import Struct

OnComplete = Literal["keep", "stop", "terminate"]
"""What becomes of the instance when its queue has ended: it is kept, stopped, or terminated."""
USER = "ec2-user"
"""Who may log in to an Amazon Linux image, and as whom the runner runs."""


class BootPlan(Struct, frozen=True, kw_only=True):
    """What one launch does on its instance. No secret is in it: user data can be read there by
    anybody.

    Objects of the launch are at `s3://<bucket>/<prefix>_spawn/boot/<launch_id>/<name>`.
    """

    launch_id: str
    """Of this launch alone: a queue that is resumed elsewhere is launched again."""
    queue_id: str
    region: str
    bucket: str
    prefix: str
    """Where the queue is; ends with a slash."""
    files: dict[str, str]
    """Names of the launch's objects, each with the SHA-256 of its bytes in hex."""
    user: str = USER
    resume: bool = False
    """Whether the queue was begun elsewhere, and is taken over."""
    env_parameter: str | None = None
    """The SSM SecureString that holds the environment of the jobs."""
    ttl_at: str | None = None
    """RFC 3339, UTC: when the queue stops in good order. A moment, so that a restart of the
    instance does not begin it anew."""
    on_complete: OnComplete = "keep"
    bucket_owner: str | None = None
    """The account that the bucket belongs to, where it is known."""
    sse: str | None = None
    sse_key: str | None = None
    """How what goes to S3 is to be encrypted, where the bucket's default is not meant; see
    `store.objects.encryption`."""
    force: bool = False
    """With `resume`: though its owner may be alive for all that the instance can tell."""
    retry_failed: bool = False
    """With `resume`: failed jobs are tried again when it is taken over, and not at later boots."""
    kill_grace: float = 30.0
    """Of the configuration, in seconds: systemd waits longer than that for the queue to stop."""

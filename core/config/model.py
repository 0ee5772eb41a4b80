"""The validated queue configuration, as the runner uses it and the log records it.

Durations are in seconds. Defaults are defined only here.
Source of field names and defaults: `docs/queue-configs.md`.
"""

from typing import Literal

from msgspec import Struct

Backoff = Literal["exponential", "exponential-jitter", "fixed"]
OnFailure = Literal["stop", "continue"]
Durability = Literal["local", "s3"]


class RetryPolicy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Number of attempts of a job and the delays between them."""

    max_attempts: int = 1
    backoff: Backoff = "exponential"
    base_delay: float = 10.0
    max_delay: float = 300.0
    retry_on_codes: tuple[int, ...] = ()
    dont_retry_on_codes: tuple[int, ...] = ()


class JobConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A shell command with its dependencies and results."""

    job_id: str
    command: str
    working_directory: str
    depends_on: tuple[str, ...] = ()
    timeout: float | None = None
    retry: RetryPolicy = RetryPolicy()
    result_files: tuple[str, ...] = ()
    environment: dict[str, str] = {}


class QueueConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A queue; `jobs` are in file order, which is the order in which they start."""

    jobs: tuple[JobConfig, ...]
    queue_id: str | None = None
    queue_name: str | None = None
    global_timeout: float | None = None
    on_failure: OnFailure = "stop"
    max_parallel: int = 1
    durability: Durability = "local"
    upload_wait: float = 300.0
    kill_grace: float = 30.0
    result_s3_bucket: str | None = None
    result_s3_prefix: str | None = None

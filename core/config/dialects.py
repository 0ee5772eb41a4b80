"""Translate both dialects of the file into the validated model.

The short dialect has `retry_count` and `result_files`, the long one `retry` and `result_paths`. A
file may mix the dialects, but may not set the same field in both.
"""

from posixpath import join, normpath
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType, structs

from spawn.core.config.fields import JobFile, QueueFile, RetryFile
from spawn.core.config.model import JobConfig, QueueConfig, RetryPolicy
from spawn.core.values import durations

T = TypeVar("T")


def to_queue_config(file: QueueFile, base_directory: str) -> QueueConfig:
    """Translate a checked file.

    Args:
        base_directory: Absolute path that relative working directories are resolved against.
    """
    return QueueConfig(
        jobs=tuple(_job(job, base_directory) for job in file.jobs),
        **_given(
            queue_id=file.queue_id,
            queue_name=file.queue_name,
            global_timeout=_seconds(file.global_timeout),
            on_failure=file.on_failure,
            max_parallel=file.max_parallel,
            durability=file.durability,
            upload_wait=_seconds(file.upload_wait),
            kill_grace=_seconds(file.kill_grace),
            result_s3_bucket=file.result_s3_bucket,
            result_s3_prefix=_without_slash(file.result_s3_prefix),
        ),
    )


def _job(file: JobFile, base_directory: str) -> JobConfig:
    directory = file.working_directory if isinstance(file.working_directory, str) else ""
    return JobConfig(
        job_id=file.job_id,
        command=file.command,
        working_directory=normpath(join(base_directory, directory)),
        **_given(
            depends_on=_tuple(file.depends_on),
            timeout=_seconds(file.timeout),
            retry=_retry(file),
            result_files=_tuple(_either(file.result_files, file.result_paths)),
            environment=_either(file.environment, file.env),
        ),
    )


def _retry(file: JobFile) -> RetryPolicy | UnsetType:
    if isinstance(file.retry, RetryFile):
        return _policy(file.retry)
    if isinstance(file.retry_count, int):
        return RetryPolicy(max_attempts=max(file.retry_count, 1))
    return UNSET


def _policy(file: RetryFile) -> RetryPolicy:
    policy = RetryPolicy(
        max_attempts=file.max_attempts,
        **_given(
            backoff="exponential-jitter" if file.jitter is True else file.backoff,
            base_delay=_seconds(_either(file.base_delay, file.delay)),
            max_delay=_seconds(file.max_delay),
            retry_on_codes=_tuple(file.retry_on_codes),
            dont_retry_on_codes=_tuple(file.dont_retry_on_codes),
        ),
    )
    if file.max_delay is UNSET and policy.base_delay > policy.max_delay:
        # A base_delay of 10 minutes must not be capped by the default max_delay of 5.
        return structs.replace(policy, max_delay=policy.base_delay)
    return policy


def _given(**fields: object) -> dict[str, Any]:
    """Drop absent fields, so that the model's defaults apply."""
    return {name: value for name, value in fields.items() if value is not UNSET}


def _either(one: T | UnsetType, other: T | UnsetType) -> T | UnsetType:
    return other if isinstance(one, UnsetType) else one


def _seconds(text: str | UnsetType) -> float | UnsetType:
    return durations.parse_duration(text) if isinstance(text, str) else UNSET


def _tuple(items: list[T] | UnsetType) -> tuple[T, ...] | UnsetType:
    return tuple(items) if isinstance(items, list) else UNSET


def _without_slash(prefix: str | UnsetType) -> str | UnsetType:
    return prefix.removesuffix("/") if isinstance(prefix, str) else UNSET

"""Suggest the intended name for an unknown field or job."""

from collections.abc import Collection
from difflib import get_close_matches

_SYNONYMS = {
    "after": ("depends_on",),
    "artifacts": ("result_files",),
    "attempts": ("max_attempts", "retry_count"),
    "blockedby": ("depends_on",),
    "blocks": ("depends_on",),
    "bucket": ("result_s3_bucket",),
    "cmd": ("command",),
    "concurrency": ("max_parallel",),
    "continueonerror": ("on_failure",),
    "count": ("max_attempts",),
    "cwd": ("working_directory",),
    "dependencies": ("depends_on",),
    "dir": ("working_directory",),
    "directory": ("working_directory",),
    "entrypoint": ("command",),
    "envvars": ("environment",),
    "exec": ("command",),
    "failfast": ("on_failure",),
    "graceperiod": ("kill_grace",),
    "id": ("job_id", "queue_id"),
    "initialdelay": ("base_delay",),
    "jobname": ("job_id",),
    "maxretries": ("max_attempts", "retry_count"),
    "maxtime": ("timeout", "global_timeout"),
    "maxworkers": ("max_parallel",),
    "name": ("job_id", "queue_name"),
    "needs": ("depends_on",),
    "output": ("result_files",),
    "outputs": ("result_files",),
    "parallel": ("max_parallel",),
    "parallelism": ("max_parallel",),
    "parents": ("depends_on",),
    "prefix": ("result_s3_prefix",),
    "requires": ("depends_on",),
    "results": ("result_files",),
    "retries": ("max_attempts", "retry_count"),
    "run": ("command",),
    "s3bucket": ("result_s3_bucket",),
    "s3prefix": ("result_s3_prefix",),
    "script": ("command",),
    "shell": ("command",),
    "stages": ("jobs",),
    "steps": ("jobs",),
    "strategy": ("backoff",),
    "tasks": ("jobs",),
    "timelimit": ("timeout", "global_timeout"),
    "timeout": ("global_timeout",),
    "variables": ("environment",),
    "wait": ("base_delay",),
    "walltime": ("timeout", "global_timeout"),
    "wd": ("working_directory",),
    "workdir": ("working_directory",),
    "workers": ("max_parallel",),
    "workingdir": ("working_directory",),
}
"""Terms of other tools, folded, and the equivalent fields."""

_REMARKS = {
    "blocks": "in the dependent job, with the id of the job it waits for",
    "maxretries": "it includes the first attempt",
    "retries": "it includes the first attempt",
}

_LONGEST_NAME = 128


def nearest_name(name: str, names: Collection[str]) -> str | None:
    """Return the closest match in `names`, or None."""
    if len(name) > _LONGEST_NAME:
        return None
    folded = fold(name)
    for candidate in names:
        if fold(candidate) == folded:
            return candidate
    return next(iter(get_close_matches(name, names, n=1)), None)


def synonym(name: str, fields: Collection[str]) -> str | None:
    """Return the one of `fields` that other tools call `name`, or None."""
    meanings = _SYNONYMS.get(fold(name), ())
    return next((meaning for meaning in meanings if meaning in fields), None)


def remark(name: str) -> str:
    """Return how the field differs from `name` in other tools; may be empty."""
    return _REMARKS.get(fold(name), "")


def fold(name: str) -> str:
    """Normalize a name for comparison: lowercase, without `_`, `-`, `.` and spaces."""
    return "".join(letter for letter in name.casefold() if letter not in "_-. ")

"""The file as users write it, each field declared once: the check and the schema both read this.

Defaults are not declared here: `core.config.model` has them.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct

from spawn.core import durations
from spawn.core.config.kinds import (
    Attempts,
    Bucket,
    Command,
    Duration,
    ExitCodes,
    Given,
    JobId,
    JobIds,
    Limit,
    Parallel,
    Path,
    Paths,
    Prefix,
    QueueId,
    Title,
    Variables,
    says,
)
from spawn.core.config.model import Backoff, Durability, OnFailure
from spawn.core.config.problems import quoted
from spawn.core.ids import ID_RULE

MAX_JOBS = 100_000

_A_JOB = {"job_id": "train", "command": "python train.py"}

Conflict = tuple[str, str, str]
"""The field to name, what is wrong, and what to do."""


class Fields(Struct, forbid_unknown_fields=True):
    """An object of the file."""

    where: ClassVar[str]
    """Where such an object stands, in words."""
    spellings: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of fields that say one thing in two dialects; of both, the first is the one to keep."""

    @staticmethod
    def conflicts(given: Mapping[str, object]) -> Iterator[Conflict]:
        """Say which fields contradict each other.

        Args:
            given: The fields that are right by themselves.
        """
        yield from ()


class RetryFile(Fields):
    """How often a job is tried and how long it waits between: the longer form of retry_count."""

    where: ClassVar = 'in a job\'s "retry"'
    spellings: ClassVar = (("base_delay", "delay"),)

    max_attempts: Annotated[
        Attempts, Meta(ge=1), says("Attempts in all, the first one included.", 3)
    ]
    backoff: Given[
        Annotated[
            Backoff,
            says(
                "How the delay grows. exponential: each is three times the last. fixed: all are "
                "the same. exponential-jitter: a random share of exponential, at least a half."
            ),
        ]
    ] = UNSET
    base_delay: Given[Annotated[Duration, says("The delay after the first failure.", "10s")]] = (
        UNSET
    )
    delay: Given[Annotated[Duration, says("The same as base_delay.", "10s")]] = UNSET
    max_delay: Given[
        Annotated[
            Duration,
            says("The longest delay; absent, a longer base_delay raises it to its own.", "5m"),
        ]
    ] = UNSET
    jitter: Given[
        Annotated[bool, says("true makes exponential into exponential-jitter.", True)]
    ] = UNSET
    retry_on_codes: Given[
        Annotated[
            ExitCodes,
            says(
                "When not empty, only these exit codes are retried; 126 and 127 are retried only "
                "when they stand here.",
                [1, 75],
            ),
        ]
    ] = UNSET
    dont_retry_on_codes: Given[
        Annotated[ExitCodes, says("These exit codes are not retried.", [2])]
    ] = UNSET

    @staticmethod
    def conflicts(given: Mapping[str, object]) -> Iterator[Conflict]:
        """Say where jitter, delays or the lists of codes cannot be meant together."""
        backoff, jitter = given.get("backoff"), given.get("jitter")
        if jitter is True and backoff == "fixed":
            yield "jitter", "a fixed backoff has no jitter", "leave one of the two out"
        if jitter is False and backoff == "exponential-jitter":
            hint = "leave jitter out, or make the backoff 'exponential'"
            yield "jitter", "is false, but the backoff is 'exponential-jitter'", hint
        first, most = given.get("base_delay", given.get("delay")), given.get("max_delay")
        if isinstance(first, str) and isinstance(most, str) and _longer(first, most):
            what = f"{quoted(most)} is shorter than the first delay, {quoted(first)}"
            yield "max_delay", what, "make it longer, or leave it out"
        retried, refused = given.get("retry_on_codes"), given.get("dont_retry_on_codes")
        if isinstance(retried, list) and isinstance(refused, list):
            for code in dict.fromkeys(refused):
                if code in retried:
                    what = f"{code} is in retry_on_codes too"
                    yield "dont_retry_on_codes", what, "take it out of one of the two"


def _longer(one: str, other: str) -> bool:
    return durations.parse(one) > durations.parse(other)


class JobFile(Fields):
    """One shell command, with what it needs and what it leaves."""

    where: ClassVar = "in a job"
    spellings: ClassVar = (
        ("retry", "retry_count"),
        ("result_files", "result_paths"),
        ("environment", "env"),
    )

    job_id: Annotated[JobId, says(f"The job's name in its queue: {ID_RULE}.", "train")]
    command: Annotated[Command, says("What /bin/bash -c runs.", "python train.py")]
    depends_on: Given[
        Annotated[
            JobIds,
            says("The ids of the jobs that must complete before this one starts.", ["preprocess"]),
        ]
    ] = UNSET
    timeout: Given[
        Annotated[
            Limit,
            says("How long an attempt may run until it is ended; absent: no limit.", "4h"),
        ]
    ] = UNSET
    retry_count: Given[
        Annotated[
            Attempts,
            Meta(ge=0),
            says("Attempts in all, the first one included; 0 means 1 too.", 3),
        ]
    ] = UNSET
    retry: Given[
        Annotated[
            RetryFile,
            Meta(extra={"wanted": "an object", "number_is": "retry_count"}),
            says(
                "Attempts and the delays between them, in place of retry_count.",
                {"max_attempts": 3},
            ),
        ]
    ] = UNSET
    working_directory: Given[
        Annotated[
            Path,
            says(
                "Where the command runs: absolute, or relative to the folder that the "
                "file is in, which it is when absent.",
                "/data",
            ),
        ]
    ] = UNSET
    environment: Given[
        Annotated[
            Variables,
            says(
                "Variables for the command, besides the runner's own. ${NAME} in a value is "
                "replaced by the runner's variable when the job starts.",
                {"EPOCHS": "100"},
            ),
        ]
    ] = UNSET
    env: Given[Annotated[Variables, says("The same as environment.", {"EPOCHS": "100"})]] = UNSET
    result_files: Given[
        Annotated[
            Paths,
            says(
                "What the job leaves: files, folders and globs (also **), absolute or relative "
                "to working_directory.",
                ["/models/*.pth"],
            ),
        ]
    ] = UNSET
    result_paths: Given[Annotated[Paths, says("The same as result_files.", ["/models/*.pth"])]] = (
        UNSET
    )


class QueueFile(Fields, rename={"schema_": "$schema"}):
    """A batch queue for spawn: shell jobs and what they depend on."""

    where: ClassVar = "at the top level"

    jobs: Annotated[
        list[Annotated[JobFile, Meta(extra={"wanted": "a job"}, examples=[_A_JOB])]],
        Meta(
            min_length=1, max_length=MAX_JOBS, extra={"wanted": "a list of jobs", "key": "job_id"}
        ),
        says("The jobs; those that are ready start in this order.", [_A_JOB]),
    ]
    queue_id: Given[
        Annotated[
            QueueId,
            says(
                f"The queue's name, never used twice: {ID_RULE}; neither local nor like an EC2 "
                "instance id. Absent: queue- and the moment of submission.",
                "pipeline-20260127",
            ),
        ]
    ] = UNSET
    queue_name: Given[Annotated[Title, says("A title for people.", "Nightly training")]] = UNSET
    global_timeout: Given[
        Annotated[
            Limit,
            says("How long the queue may run, all its runners together; absent: no limit.", "12h"),
        ]
    ] = UNSET
    on_failure: Given[
        Annotated[
            OnFailure,
            says(
                "When a job has failed for good. stop: what runs may finish, nothing new starts. "
                "continue: what does not depend on it still runs."
            ),
        ]
    ] = UNSET
    max_parallel: Given[Annotated[Parallel, says("How many jobs may run at once.", 4)]] = UNSET
    durability: Given[
        Annotated[
            Durability,
            says(
                "When a completed job lets its dependents start. local: once the log on this "
                "machine has it. s3: once the log in S3 has it too."
            ),
        ]
    ] = UNSET
    upload_wait: Given[
        Annotated[
            Duration,
            says("How long dependents wait for a job's upload when S3 fails.", "5m"),
        ]
    ] = UNSET
    kill_grace: Given[
        Annotated[
            Duration,
            says("How long a job that is told to end (SIGTERM) has until SIGKILL.", "30s"),
        ]
    ] = UNSET
    result_s3_bucket: Given[
        Annotated[
            Bucket,
            says(
                "The bucket for logs and results; absent: spawn-results-<region>.",
                "spawn-results-us-east-1",
            ),
        ]
    ] = UNSET
    result_s3_prefix: Given[
        Annotated[Prefix, says("Where in the bucket; absent: the queue id.", "teams/vision")]
    ] = UNSET
    schema_: Given[
        Annotated[
            str,
            says(
                "Which JSON Schema an editor checks this file with; spawn ignores it.", "queue.json"
            ),
        ]
    ] = UNSET

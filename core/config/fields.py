"""The fields of the configuration file, declared once for both the check and the schema.

Defaults are in `core.config.model`.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, TypeAlias, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from spawn.core.config import references, string_rules
from spawn.core.config.model import Backoff, Durability, OnFailure
from spawn.core.problems import quoted
from spawn.core.values import durations
from spawn.core.values.ids import ID_RULE

T = TypeVar("T")

OrUnset: TypeAlias = T | UnsetType
"""An optional field; `core.config.model` defines its default."""


def described(description: str, *examples: object) -> Meta:
    """Describe a field for the schema; errors suggest the first example."""
    return Meta(description=description, examples=list(examples) or None)


def _text(
    wanted: str, rule: string_rules.Rule, pattern: str, *, unit: str = "", most: int | None = None
) -> Meta:
    extra = {"wanted": wanted, "rule": rule, "unit": unit}
    return Meta(extra=extra, extra_json_schema={"pattern": pattern}, max_length=most)


def _wanted(what: str) -> Meta:
    return Meta(extra={"wanted": what})


_ID = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_NOT_BLANK = r"\S"
_BUCKET = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"

JobId = Annotated[str, _text("a job id", string_rules.job_id, _ID)]
QueueId = Annotated[str, _text("a queue id", string_rules.queue_id, _ID)]
Title = Annotated[str, _text("a title in quotes", string_rules.queue_name, _NOT_BLANK, most=200)]
Command = Annotated[str, _text("a command in quotes", string_rules.command, _NOT_BLANK)]
JobIds = Annotated[
    list[str], _wanted("a list of job ids"), Meta(extra_json_schema={"uniqueItems": True})
]
Path = Annotated[str, _text("a path in quotes", string_rules.path, _NOT_BLANK)]
Paths = Annotated[list[Path], _wanted("a list of paths")]
Bucket = Annotated[str, _text("a bucket name", string_rules.check_bucket_name, _BUCKET)]
Prefix = Annotated[str, _text("a prefix in quotes", string_rules.check_prefix, "^[^/]")]

_DURATION = "a duration in quotes"
Duration = Annotated[str, _text(_DURATION, string_rules.duration, durations.PATTERN, unit="s")]
TimeLimit = Annotated[str, _text(_DURATION, string_rules.limit, durations.PATTERN, unit="s")]

Attempts = Annotated[int, Meta(le=1000)]
Parallel = Annotated[int, Meta(ge=1, le=10_000)]
ExitCode = Annotated[int, Meta(ge=1, le=255, extra={"wanted": "an exit code"})]
ExitCodes = Annotated[
    list[ExitCode], Meta(max_length=255, extra={"wanted": "a list of exit codes"})
]

_Name = Annotated[str, _text("a name", string_rules.variable, f"^{references.NAME}$")]
_Value = Annotated[str, Meta(extra={"rule": string_rules.variable_value})]
Variables = Annotated[dict[_Name, _Value], _wanted("an object of variables")]


MAX_JOBS = 100_000

_A_JOB = {"job_id": "train", "command": "python train.py"}

Conflict = tuple[str, str, str]
"""The field, the problem and the hint."""


class Fields(Struct, forbid_unknown_fields=True):
    """An object of the file."""

    where: ClassVar[str]
    """The object's place, for error messages."""
    spellings: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of fields with the same meaning in the two dialects; errors recommend the first."""

    @staticmethod
    def conflicts(given: Mapping[str, object]) -> Iterator[Conflict]:
        """Report fields that contradict each other.

        Args:
            given: The fields that are valid on their own.
        """
        yield from ()


class RetryFile(Fields):
    """Number of attempts and the delays between them; the long form of retry_count."""

    where: ClassVar = 'in a job\'s "retry"'
    spellings: ClassVar = (("base_delay", "delay"),)

    max_attempts: Annotated[
        Attempts, Meta(ge=1), described("Maximum number of attempts, including the first.", 3)
    ]
    backoff: OrUnset[
        Annotated[
            Backoff,
            described(
                "How the delay grows. exponential: three times the previous delay. fixed: always "
                "base_delay. exponential-jitter: a random 50 to 100 % of exponential."
            ),
        ]
    ] = UNSET
    base_delay: OrUnset[Annotated[Duration, described("Delay after the first failure.", "10s")]] = (
        UNSET
    )
    delay: OrUnset[Annotated[Duration, described("Alias of base_delay.", "10s")]] = UNSET
    max_delay: OrUnset[
        Annotated[
            Duration,
            described("Maximum delay (default: 5m, or base_delay if that is longer).", "5m"),
        ]
    ] = UNSET
    jitter: OrUnset[
        Annotated[bool, described("true changes exponential to exponential-jitter.", True)]
    ] = UNSET
    retry_on_codes: OrUnset[
        Annotated[
            ExitCodes,
            described(
                "If not empty, only these exit codes are retried; 126 and 127 are retried only if "
                "they are listed here.",
                [1, 75],
            ),
        ]
    ] = UNSET
    dont_retry_on_codes: OrUnset[
        Annotated[ExitCodes, described("Exit codes that are not retried.", [2])]
    ] = UNSET

    @staticmethod
    def conflicts(given: Mapping[str, object]) -> Iterator[Conflict]:
        """Report contradictory jitter, delays or exit codes."""
        backoff, jitter = given.get("backoff"), given.get("jitter")
        if jitter is True and backoff == "fixed":
            yield "jitter", "a fixed backoff has no jitter", "remove one of the two"
        if jitter is False and backoff == "exponential-jitter":
            hint = "remove jitter, or change backoff to 'exponential'"
            yield "jitter", "is false, but backoff is 'exponential-jitter'", hint
        first, longest = given.get("base_delay", given.get("delay")), given.get("max_delay")
        if isinstance(first, str) and isinstance(longest, str) and _longer(first, longest):
            what = f"{quoted(longest)} is shorter than the first delay, {quoted(first)}"
            yield "max_delay", what, "increase it, or remove it"
        retried, refused = given.get("retry_on_codes"), given.get("dont_retry_on_codes")
        if isinstance(retried, list) and isinstance(refused, list):
            for code in dict.fromkeys(refused):
                if code in retried:
                    what = f"{code} is also in retry_on_codes"
                    yield "dont_retry_on_codes", what, "remove it from one of the two"


def _longer(one: str, other: str) -> bool:
    return durations.parse_duration(one) > durations.parse_duration(other)


class JobFile(Fields):
    """A shell command with its dependencies and results."""

    where: ClassVar = "in a job"
    spellings: ClassVar = (
        ("retry", "retry_count"),
        ("result_files", "result_paths"),
        ("environment", "env"),
    )

    job_id: Annotated[JobId, described(f"Id of the job in its queue: {ID_RULE}.", "train")]
    command: Annotated[Command, described("Command, run by /bin/bash -c.", "python train.py")]
    depends_on: OrUnset[
        Annotated[
            JobIds,
            described("Ids of the jobs that must complete before this job starts.", ["preprocess"]),
        ]
    ] = UNSET
    timeout: OrUnset[
        Annotated[
            TimeLimit,
            described("Time limit of an attempt (default: none).", "4h"),
        ]
    ] = UNSET
    retry_count: OrUnset[
        Annotated[
            Attempts,
            Meta(ge=0),
            described("Maximum number of attempts, including the first; 0 means 1.", 3),
        ]
    ] = UNSET
    retry: OrUnset[
        Annotated[
            RetryFile,
            Meta(extra={"wanted": "an object", "number_is": "retry_count"}),
            described(
                "Number of attempts and the delays between them; replaces retry_count.",
                {"max_attempts": 3},
            ),
        ]
    ] = UNSET
    working_directory: OrUnset[
        Annotated[
            Path,
            described(
                "Working directory, absolute or relative to the folder of this file (default: "
                "that folder).",
                "/data",
            ),
        ]
    ] = UNSET
    environment: OrUnset[
        Annotated[
            Variables,
            described(
                "Environment variables for the command, in addition to the runner's. ${NAME} in "
                "a value expands to the runner's variable when the job starts.",
                {"EPOCHS": "100"},
            ),
        ]
    ] = UNSET
    env: OrUnset[Annotated[Variables, described("Alias of environment.", {"EPOCHS": "100"})]] = (
        UNSET
    )
    result_files: OrUnset[
        Annotated[
            Paths,
            described(
                "Result files: files, folders and globs (** too), absolute or relative to "
                "working_directory.",
                ["/models/*.pth"],
            ),
        ]
    ] = UNSET
    result_paths: OrUnset[
        Annotated[Paths, described("Alias of result_files.", ["/models/*.pth"])]
    ] = UNSET


class QueueFile(Fields, rename={"schema_": "$schema"}):
    """A batch queue: shell jobs and their dependencies."""

    where: ClassVar = "at the top level"

    jobs: Annotated[
        list[Annotated[JobFile, Meta(extra={"wanted": "a job"}, examples=[_A_JOB])]],
        Meta(
            min_length=1, max_length=MAX_JOBS, extra={"wanted": "a list of jobs", "key": "job_id"}
        ),
        described("Jobs; those that are ready start in this order.", [_A_JOB]),
    ]
    queue_id: OrUnset[
        Annotated[
            QueueId,
            described(
                f"Id of the queue, never reused: {ID_RULE}; not local and not like an EC2 "
                "instance id (default: queue- and the time of submission).",
                "pipeline-20260127",
            ),
        ]
    ] = UNSET
    queue_name: OrUnset[Annotated[Title, described("Title of the queue.", "Nightly training")]] = (
        UNSET
    )
    global_timeout: OrUnset[
        Annotated[
            TimeLimit,
            described("Time limit of the queue, over all its runners (default: none).", "12h"),
        ]
    ] = UNSET
    on_failure: OrUnset[
        Annotated[
            OnFailure,
            described(
                "Reaction to a job that failed after all retries. stop: running jobs finish, no "
                "new job starts. continue: jobs that do not depend on it still run."
            ),
        ]
    ] = UNSET
    max_parallel: OrUnset[
        Annotated[Parallel, described("Maximum number of jobs that run at the same time.", 4)]
    ] = UNSET
    durability: OrUnset[
        Annotated[
            Durability,
            described(
                "When the dependents of a completed job may start. local: when its completion is "
                "in the log on this machine. s3: when it is also in the log in S3."
            ),
        ]
    ] = UNSET
    upload_wait: OrUnset[
        Annotated[
            Duration,
            described("Maximum time that dependents wait for an upload while S3 fails.", "5m"),
        ]
    ] = UNSET
    kill_grace: OrUnset[
        Annotated[
            Duration,
            described("Time between SIGTERM and SIGKILL when a job is stopped.", "30s"),
        ]
    ] = UNSET
    result_s3_bucket: OrUnset[
        Annotated[
            Bucket,
            described(
                "Bucket for the log and results (default: spawn-results-<region>).",
                "spawn-results-us-east-1",
            ),
        ]
    ] = UNSET
    result_s3_prefix: OrUnset[
        Annotated[Prefix, described("Prefix of the keys (default: the queue id).", "teams/vision")]
    ] = UNSET
    schema_: OrUnset[
        Annotated[
            str,
            described("JSON Schema for editors; spawn ignores it.", "queue.json"),
        ]
    ] = UNSET

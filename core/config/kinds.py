"""The value types of the file's fields.

Each is a type with a `Meta`. Its `extra` holds `wanted` (the type's name in errors), `rule`
(validates a string), and `unit`, `key` and `number_is` (used to suggest a corrected value).
"""

from typing import Annotated, TypeAlias, TypeVar

from msgspec import Meta, UnsetType

from spawn.core import durations
from spawn.core.config import references, rules

T = TypeVar("T")

OrUnset: TypeAlias = T | UnsetType
"""An optional field; `core.config.model` defines its default."""


def described(description: str, *examples: object) -> Meta:
    """Describe a field for the schema; errors suggest the first example."""
    return Meta(description=description, examples=list(examples) or None)


def _text(
    wanted: str, rule: rules.Rule, pattern: str, *, unit: str = "", most: int | None = None
) -> Meta:
    extra = {"wanted": wanted, "rule": rule, "unit": unit}
    return Meta(extra=extra, extra_json_schema={"pattern": pattern}, max_length=most)


def _wanted(what: str) -> Meta:
    return Meta(extra={"wanted": what})


_ID = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_NOT_BLANK = r"\S"
_BUCKET = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"

JobId = Annotated[str, _text("a job id", rules.job_id, _ID)]
QueueId = Annotated[str, _text("a queue id", rules.queue_id, _ID)]
Title = Annotated[str, _text("a title in quotes", rules.queue_name, _NOT_BLANK, most=200)]
Command = Annotated[str, _text("a command in quotes", rules.command, _NOT_BLANK)]
JobIds = Annotated[
    list[str], _wanted("a list of job ids"), Meta(extra_json_schema={"uniqueItems": True})
]
Path = Annotated[str, _text("a path in quotes", rules.path, _NOT_BLANK)]
Paths = Annotated[list[Path], _wanted("a list of paths")]
Bucket = Annotated[str, _text("a bucket name", rules.bucket, _BUCKET)]
Prefix = Annotated[str, _text("a prefix in quotes", rules.prefix, "^[^/]")]

_DURATION = "a duration in quotes"
Duration = Annotated[str, _text(_DURATION, rules.duration, durations.PATTERN, unit="s")]
TimeLimit = Annotated[str, _text(_DURATION, rules.limit, durations.PATTERN, unit="s")]

Attempts = Annotated[int, Meta(le=1000)]
Parallel = Annotated[int, Meta(ge=1, le=10_000)]
ExitCode = Annotated[int, Meta(ge=1, le=255, extra={"wanted": "an exit code"})]
ExitCodes = Annotated[
    list[ExitCode], Meta(max_length=255, extra={"wanted": "a list of exit codes"})
]

_Name = Annotated[str, _text("a name", rules.variable, f"^{references.NAME}$")]
_Value = Annotated[str, Meta(extra={"rule": rules.variable_value})]
Variables = Annotated[dict[_Name, _Value], _wanted("an object of variables")]

"""Accepted and rejected values of each field, and the messages."""

from typing import Any

import pytest
from tests.unit.config.samples import problems, with_job, with_queue

JOB: list[tuple[dict[str, Any], str]] = [
    ({"timeout": 90}, 'timeout: expected a duration in quotes, got the number 90; write "90s"'),
    ({"timeout": -5}, 'timeout: expected a duration in quotes, got the number -5; write "4h"'),
    (
        {"timeout": None},
        'timeout: expected a duration in quotes, got null; write "4h", or remove it',
    ),
    ({"timeout": "90"}, "timeout: '90' has no unit; write \"90s\" for seconds"),
    ({"timeout": "0s"}, "timeout: '0s' must be greater than zero; remove the field for no limit"),
    (
        {"timeout": "-5m"},
        "timeout: '-5m' is negative; a duration must be 0 or more; "
        'write for example "90s", "5m" or "1h30m"',
    ),
    (
        {"command": ["python", "train.py"]},
        'command: expected a command in quotes, got a list; write "python train.py"',
    ),
    (
        {"command": ["sh", "-c", "a b"]},
        'command: expected a command in quotes, got a list; write "python train.py"',
    ),
    ({"command": ""}, "command: is empty; write a shell command"),
    ({"command": " \n"}, "command: is empty; write a shell command"),
    ({"command": "a\0b"}, "command: contains a NUL character, \\u0000; remove it"),
    ({"command": "\ud83d"}, "command: contains the unpaired surrogate \\ud83d; remove it"),
    (
        {"job_id": "../a"},
        "job_id: '../a' cannot be a job id; an id is 1 to 128 letters, digits, '.', '_' or '-', "
        "the first a letter or digit",
    ),
    (
        {"depends_on": "b"},
        "depends_on: expected a list of job ids, got the string 'b'; write [\"b\"]",
    ),
    (
        {"depends_on": [None]},
        "depends_on[0]: expected a string, got null; remove it",
    ),
    (
        {"result_files": "out/*.csv"},
        "result_files: expected a list of paths, got the string 'out/*.csv'; write [\"out/*.csv\"]",
    ),
    (
        {"result_files": ["a", ""]},
        'result_files[1]: is empty; write a path, or "." for the folder itself',
    ),
    (
        {"result_paths": ["~/a"]},
        "result_paths[0]: '~/a' begins with '~', which only a shell expands; "
        "write the full path, or \"./~...\" if the name begins with '~'",
    ),
    (
        {"working_directory": "$HOME/a"},
        "working_directory: '$HOME/a' begins with '$', which only a shell expands; "
        "write the full path, or \"./$...\" if the name begins with '$'",
    ),
    (
        {"working_directory": ""},
        'working_directory: is empty; write a path, or "." for the folder itself',
    ),
    (
        {"retry_count": "3"},
        "retry_count: expected a whole number, got the string '3'; write 3 without quotes",
    ),
    (
        {"retry_count": True},
        "retry_count: expected a whole number, got true; write 3",
    ),
    (
        {"retry_count": 2.5},
        "retry_count: expected a whole number, got the number 2.5; write 3",
    ),
    (
        {"retry_count": -1},
        "retry_count: -1 is out of range; write a whole number from 0 to 1000",
    ),
    (
        {"retry_count": 1001},
        "retry_count: 1001 is out of range; write a whole number from 0 to 1000",
    ),
    (
        {"retry": 3},
        'retry: expected an object, got the number 3; write "retry_count": 3',
    ),
    ({"retry": {}}, "retry.max_attempts: is missing; write 3"),
    (
        {"retry": {"max_attempts": 0}},
        "retry.max_attempts: 0 is out of range; write a whole number from 1 to 1000",
    ),
    (
        {"retry": {"max_attempts": 2, "backoff": "linear"}},
        "retry.backoff: 'linear' is not a valid value; "
        "use 'exponential', 'exponential-jitter' or 'fixed'",
    ),
    (
        {"retry": {"max_attempts": 2, "jitter": "true"}},
        "retry.jitter: expected true or false, got the string 'true'; write true without quotes",
    ),
    (
        {"retry": {"max_attempts": 2, "retry_on_codes": [0, 256]}},
        "retry.retry_on_codes[0]: 0 is out of range; write a whole number from 1 to 255",
    ),
    (
        {"env": ["A=1", "B=2=3"]},
        'env: expected an object of variables, got a list; write {"A": "1", "B": "2=3"}',
    ),
    ({"env": {"A": 1}}, 'env.A: expected a string, got the number 1; write "1"'),
    (
        {"environment": {"9A": ""}},
        "environment['9A']: '9A' cannot be a variable name; "
        "a name is letters, digits and '_', and does not begin with a digit",
    ),
    (
        {"environment": {"SPAWN_RUN": "x"}},
        "environment.SPAWN_RUN: is reserved for variables that spawn sets; use another name",
    ),
    (
        {"environment": {"A": "${A:-b}"}},
        "environment.A: '${A:-b}' is not a reference; "
        "only ${NAME} is expanded; use other shell expansions in the command",
    ),
    (
        {"nonsense_field": 1},
        "nonsense_field: unknown field; the fields in a job are job_id, command, depends_on, "
        "timeout, retry_count, retry, working_directory, environment, env, result_files, "
        "result_paths",
    ),
]

QUEUE: list[tuple[dict[str, Any], str]] = [
    ({"jobs": []}, "jobs: is empty; add at least one entry"),
    (
        {"jobs": {"train": {"command": "true"}}},
        "jobs: expected a list of jobs, got an object; "
        'write a list with the names as "job_id": [{"job_id": "train", ...}, ...]',
    ),
    (
        {"jobs": ["true"]},
        "jobs[0]: expected a job, got the string 'true'; "
        'write {"job_id": "train", "command": "python train.py"}',
    ),
    ({"on_failure": ""}, "on_failure: '' is not a valid value; use 'continue' or 'stop'"),
    (
        {"on_failure": None},
        "on_failure: expected 'continue' or 'stop', got null; remove it",
    ),
    ({"durability": "S3"}, "durability: 'S3' is not a valid value; use 'local' or 's3'"),
    (
        {"max_parallel": 0},
        "max_parallel: 0 is out of range; write a whole number from 1 to 10000",
    ),
    (
        {"global_timeout": "0m"},
        "global_timeout: '0m' must be greater than zero; remove the field for no limit",
    ),
    (
        {"queue_id": "local"},
        "queue_id: 'local' cannot be a queue id; 'local' means this machine's own queue",
    ),
    (
        {"queue_id": "i-0abc"},
        "queue_id: 'i-0abc' cannot be a queue id; it has the form of an EC2 instance id",
    ),
    ({"queue_name": " "}, "queue_name: is empty; write a title, or remove it"),
    (
        {"queue_name": "a\nb"},
        "queue_name: contains a line break or another control character; write it on one line",
    ),
    ({"queue_name": "a" * 201}, "queue_name: has 201 characters; the limit is 200"),
    (
        {"result_s3_bucket": "s3://results/x"},
        "result_s3_bucket: 's3://results/x' is a URI; write only the bucket name",
    ),
    (
        {"result_s3_bucket": "My_Bucket"},
        "result_s3_bucket: 'My_Bucket' cannot be a bucket name; "
        "a name is 3 to 63 lowercase letters, digits, '-' or '.'",
    ),
    ({"result_s3_prefix": "/a"}, "result_s3_prefix: '/a' begins with '/'; remove the leading '/'"),
    (
        {"result_s3_prefix": ""},
        "result_s3_prefix: '' has an empty part; write it like teams/vision, or remove it",
    ),
    (
        {"result_s3_prefix": "a//b"},
        "result_s3_prefix: 'a//b' has an empty part; write it like teams/vision, or remove it",
    ),
    (
        {"result_s3_prefix": "a/../b"},
        "result_s3_prefix: 'a/../b' contains the part '.' or '..'; remove it",
    ),
    (
        {"result_s3_prefix": "é" * 300},
        "result_s3_prefix: has 600 bytes; shorten it to at most 512",
    ),
    ({"$schema": 1}, '$schema: expected a string, got the number 1; write "1"'),
]


@pytest.mark.parametrize(("fields", "problem"), JOB)
def test_an_invalid_field_of_a_job_is_reported_with_a_fix(
    fields: dict[str, Any], problem: str
) -> None:
    assert problems(with_job(**fields))[0] == f"jobs[0].{problem}"


@pytest.mark.parametrize(("fields", "problem"), QUEUE)
def test_an_invalid_field_of_the_queue_is_reported_with_a_fix(
    fields: dict[str, Any], problem: str
) -> None:
    assert problems(with_queue(**fields)) == [problem]


@pytest.mark.parametrize("bucket", ["ab", "a..b", "-ab", "ab-", "192.168.0.1", "a" * 64, "a/b"])
def test_an_invalid_bucket_name_is_rejected(bucket: str) -> None:
    (problem,) = problems(with_queue(result_s3_bucket=bucket))
    assert problem.startswith(f"result_s3_bucket: {bucket!r}"[:60])


def test_a_missing_field_is_reported_with_an_example() -> None:
    assert problems({}) == [
        'jobs: is missing; write [{"job_id": "train", "command": "python train.py"}]'
    ]
    assert problems({"jobs": [{}]}) == [
        'jobs[0].job_id: is missing; write "train"',
        'jobs[0].command: is missing; write "python train.py"',
    ]


def test_all_problems_are_reported_at_once_in_the_order_of_the_jobs() -> None:
    value = {
        "jobs": [
            {"job_id": "a", "command": "", "depends_on": ["b", "zz"]},
            {"job_id": "b", "command": "true", "timeout": 5, "depends_on": ["a"]},
            {"command": "true"},
        ],
        "max_parallel": 0,
    }
    assert [problem.split(":")[0] for problem in problems(value)] == [
        "max_parallel",
        "jobs[0].command",
        "jobs[0].depends_on[1]",
        "jobs[0].depends_on",
        "jobs[1].timeout",
        "jobs[2].job_id",
    ]


def test_more_than_a_hundred_thousand_jobs_are_rejected() -> None:
    jobs = [{"job_id": f"job-{index}", "command": "true"} for index in range(100_001)]
    assert problems({"jobs": jobs}) == ["jobs: has 100,001 entries; the limit is 100,000"]


def test_a_job_too_large_for_an_event_is_rejected() -> None:
    (problem,) = problems(with_job(command="x" * 50_000))
    assert problem.startswith("jobs[0]: takes 50,0")
    assert problem.endswith("the limit for a job is 49,152; move long values into a script")


@pytest.mark.parametrize("text", ["\x1b[31m", "\ud800", "\u202e", "\0", "a\nb"])
def test_control_characters_are_escaped_in_problems(text: str) -> None:
    value = with_job(**{"depends_on": [text], "result_file" + text: 1})
    value["jobs"].append({"job_id": text, "command": "true", "env": {text: text}})
    assert all(problem.isprintable() for problem in problems(value))

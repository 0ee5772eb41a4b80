"""An invalid configuration: the error gives its place and a fix, exits with 2, and nothing runs."""

import json
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.support import Home
from tests.support.page import block
from tests.unit.config.strategies import ANY_JSON, configurations, spoilt

from spawn.cli.main import run

RULE = "an id is 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit"


def job(job_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"job_id": job_id, "command": "true", **fields}


WRONG: dict[str, tuple[Any, str]] = {
    "a duplicate id": (
        {"jobs": [job(), job()]},
        "jobs[1].job_id: 'a' is already the id of jobs[0]; give each job a unique id",
    ),
    "an unknown dependency": (
        {"jobs": [job("preprocess"), job("train", depends_on=["preproces"])]},
        "jobs[1].depends_on[0]: there is no job 'preproces'; did you mean 'preprocess'?",
    ),
    "a cycle": (
        {"jobs": [job(waits, depends_on=[need]) for waits, need in ("ac", "ba", "cb")]},
        "jobs[0].depends_on: circular dependency: a → c → b → a; remove one of these dependencies",
    ),
    "a self-dependency": (
        {"jobs": [job(depends_on=["a"])]},
        "jobs[0].depends_on[0]: a job cannot depend on itself; remove it",
    ),
    "an unknown field of a job": (
        {"jobs": [job(timout="5m")]},
        "jobs[0].timout: unknown field; did you mean 'timeout'?",
    ),
    "an unknown field of the queue": (
        {"max_paralel": 2, "jobs": [job()]},
        "max_paralel: unknown field; did you mean 'max_parallel'?",
    ),
    "a wrong type": (
        {"jobs": [job(retry_count="3")]},
        "jobs[0].retry_count: expected a whole number, got the string '3'; write 3 without quotes",
    ),
    "a null": (
        {"jobs": [job(timeout=None)]},
        'jobs[0].timeout: expected a duration in quotes, got null; write "4h", or remove it',
    ),
    "a bad duration": (
        {"jobs": [job(timeout="5 minutes")]},
        "jobs[0].timeout: '5 minutes' has an unknown unit 'minutes'; use d, h, m, s, ms; "
        'write for example "90s", "5m" or "1h30m"',
    ),
    "a duration without a unit": (
        {"jobs": [job(timeout=90)]},
        'jobs[0].timeout: expected a duration in quotes, got the number 90; write "90s"',
    ),
    "empty jobs": ({"jobs": []}, "jobs: is empty; add at least one entry"),
    "no jobs": (
        {},
        'jobs: is missing; write [{"job_id": "train", "command": "python train.py"}]',
    ),
    "an empty command": (
        {"jobs": [job(command=" ")]},
        "jobs[0].command: is empty; write a shell command",
    ),
    "no command": (
        {"jobs": [{"job_id": "a"}]},
        'jobs[0].command: is missing; write "python train.py"',
    ),
    "both dialects of retries": (
        {"jobs": [job(retry_count=3, retry={"max_attempts": 2})]},
        "jobs[0].retry_count: means the same as 'retry'; keep only 'retry'",
    ),
    "both dialects of the environment": (
        {"jobs": [job(env={}, environment={})]},
        "jobs[0].env: means the same as 'environment'; keep only 'environment'",
    ),
    "an unsafe job id": (
        {"jobs": [job("../a")]},
        f"jobs[0].job_id: '../a' cannot be a job id; {RULE}",
    ),
    "an unsafe queue id": (
        {"queue_id": "a b", "jobs": [job()]},
        f"queue_id: 'a b' cannot be a queue id; {RULE}",
    ),
    "a queue called local": (
        {"queue_id": "local", "jobs": [job()]},
        "queue_id: 'local' cannot be a queue id; 'local' means this machine's own queue",
    ),
    "a list": (
        [job()],
        'expected an object, got a list; a configuration is {"jobs": [...]}',
    ),
    "not JSON": (
        b"{\n  'jobs': []\n}",
        "not JSON: expecting property name enclosed in double quotes at line 2, column 3; "
        "JSON requires double quotes",
    ),
    "unreadable bytes": (
        b'{"jobs":\n  "\xe9"}',
        "not UTF-8: line 2 has the invalid byte 0xe9; save the file as UTF-8",
    ),
    "an empty file": (
        b"",
        'the file is empty; a configuration is {"jobs": [{"job_id": "...", "command": "..."}]}',
    ),
    "a key that stands twice": (
        b'{"jobs": [], "jobs": [{"job_id": "a", "command": "true"}]}',
        "jobs: duplicate key; keep only one",
    ),
}

commands = pytest.mark.parametrize("command", ["validate", "run"])


@commands
@pytest.mark.parametrize("case", WRONG)
def test_a_problem_is_reported_with_its_place_and_a_fix(
    home: Home, case: str, command: str
) -> None:
    value, problem = WRONG[case]
    done = home("queue", command, home.config(value, "wrong.json"))
    assert done.returncode == 2
    assert done.stderr == f"Error: wrong.json has 1 problem\n  {problem}\n"
    assert done.stdout == ""
    assert not home.root.exists()


@commands
@pytest.mark.parametrize(
    ("name", "why"), [("missing.json", "No such file or directory"), (".", "Is a directory")]
)
def test_an_unreadable_file_is_reported(home: Home, name: str, why: str, command: str) -> None:
    done = home("queue", command, name)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {name} cannot be read: {why}\n")
    assert done.stdout == ""
    assert not home.root.exists()


@commands
def test_all_problems_are_reported_at_once_in_the_order_of_the_file(
    home: Home, command: str
) -> None:
    value = {
        "on_failure": "panic",
        "jobs": [job(timeout=90), job("b", command="", depends_on=["z"]), job("b")],
    }
    done = home("queue", command, home.config(value))
    told = done.stderr.splitlines()
    assert done.returncode == 2
    assert told[0] == "Error: queue.json has 5 problems"
    assert [line.split(":")[0].strip() for line in told[1:]] == [
        "on_failure",
        "jobs[0].timeout",
        "jobs[1].command",
        "jobs[1].depends_on[0]",
        "jobs[2].job_id",
    ]


@commands
def test_a_configuration_on_stdin_is_checked_in_the_same_way(home: Home, command: str) -> None:
    done = home("queue", command, "-", stdin=b'{"jobs": []}')
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: stdin has 1 problem\n  jobs: is empty; add at least one entry\n"


@pytest.mark.parametrize(
    "queue_id",
    [
        "local",
        "i-0123456789abcdef0",
        "a/b",
        "-x",
        "",
    ],
)
def test_an_invalid_queue_id_is_rejected_before_anything_is_created(
    home: Home, queue_id: str
) -> None:
    done = home("queue", "run", home.config({"jobs": [job()]}), f"--queue-id={queue_id}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{queue_id}' cannot be a queue id" in done.stderr
    assert not home.root.exists()


def test_validate_confirms_a_valid_configuration_and_creates_nothing(home: Home) -> None:
    (home.work / "pipeline.json").write_text(block('"queue_id": "pipeline-20260127"'))
    done = home("queue", "validate", "pipeline.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "pipeline.json is valid: 4 jobs\n"
    assert not home.root.exists()


@pytest.mark.parametrize("file", ["<(cat queue.json)", "/dev/stdin < queue.json", "- <queue.json"])
def test_a_configuration_is_read_from_a_pipe(home: Home, file: str) -> None:
    home.config({"queue_id": "piped", "jobs": [job()]})
    done = home.bash(f"spawn queue validate {file}")
    assert done.returncode == 0, done.stderr


def test_an_endless_configuration_is_rejected() -> None:
    err = StringIO()
    with redirect_stderr(err):
        assert run(["queue", "validate", "/dev/zero"]) == 2
    assert "/dev/zero is larger than" in err.getvalue()


@commands
def test_a_file_name_may_have_any_bytes(home: Home, command: str) -> None:
    home.config({"queue_id": "odd", "jobs": [job()]})
    name = r"$'\xff.json'"
    strict = "export PYTHONIOENCODING=utf-8:strict"
    done = home.bash(f"{strict}; mv queue.json {name}; spawn queue {command} {name} >/dev/null")
    assert done.returncode == 0, done.stderr


def validated(data: bytes) -> tuple[int, str, str]:
    """Validate a file in this process; returns its exit code, stdout and stderr."""
    out, err = (TextIOWrapper(BytesIO(), "utf-8"), StringIO())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "queue.json")
        file.write_bytes(data)
        with redirect_stdout(out), redirect_stderr(err):
            code = run(["queue", "validate", str(file)])
    out.seek(0)
    return code, out.read(), err.getvalue()


def assert_zero_or_two(data: bytes) -> None:
    code, out, err = validated(data)
    assert code in (0, 2), err
    assert bool(out) == (code == 0)
    assert bool(err) == (code == 2)
    assert "Traceback" not in err
    assert all(character == "\n" or character.isprintable() for character in err)


@settings(deadline=None)
@given(st.one_of(ANY_JSON, configurations(), spoilt()))
def test_any_json_gives_exit_code_0_or_2_without_a_traceback(value: Any) -> None:
    assert_zero_or_two(json.dumps(value).encode())


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_exit_code_0_or_2_without_a_traceback(data: bytes) -> None:
    assert_zero_or_two(data)

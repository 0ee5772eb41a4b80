"""Files that are not a JSON object, and the messages."""

import json

import pytest
from tests.unit.config.samples import problems, read, with_job

from spawn.core.errors import InvalidConfig


@pytest.mark.parametrize("data", [b"", b" \n\t", b"\xef\xbb\xbf"])
def test_an_empty_file_is_reported_with_an_example(data: bytes) -> None:
    (problem,) = problems(data)
    assert problem.startswith('the file is empty; a configuration is {"jobs": [')


def test_a_byte_order_mark_is_ignored() -> None:
    assert read(b"\xef\xbb\xbf" + json.dumps(with_job()).encode()) == read(with_job())


def test_a_file_that_is_not_utf_8_is_reported_with_the_line() -> None:
    (problem,) = problems(b'{\n"jobs": "\xe9"}')
    assert problem == "not UTF-8: line 2 has the invalid byte 0xe9; save the file as UTF-8"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '{"jobs": [\n  1,\n]}',
            "not JSON: expecting value at line 3, column 1; remove the comma before it",
        ),
        (
            '{"jobs": [] "queue_id": "a"}',
            "not JSON: expecting ',' delimiter at line 1, column 13; a comma is missing before it",
        ),
        (
            "{'jobs': []}",
            "not JSON: expecting property name enclosed in double quotes at line 1, column 2; "
            "JSON requires double quotes",
        ),
        (
            '{"jobs": []} // the end',
            "not JSON: extra data at line 1, column 14; JSON does not allow comments",
        ),
        (
            "{} {}",
            "not JSON: extra data at line 1, column 4; a configuration is a single object",
        ),
        ('{"jobs": "a', "not JSON: unterminated string starting at line 1, column 10"),
        ("jobs:\n  - a", "not JSON: expecting value at line 1, column 1"),
    ],
)
def test_invalid_json_is_reported_with_its_place_and_likely_cause(text: str, problem: str) -> None:
    assert problems(text.encode()) == [problem]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 5000 + "]" * 5000])
def test_too_deep_nesting_is_a_problem(text: str) -> None:
    (problem,) = problems(text.encode())
    assert "nested too deeply" in problem


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", "a list"),
        ("null", "null"),
        ('"jobs"', "the string 'jobs'"),
        ("3", "the number 3"),
        ("NaN", "NaN, which is not JSON"),
        ("9" * 5000, "a number that is too large"),
    ],
)
def test_a_top_level_that_is_not_an_object_is_reported(text: str, found: str) -> None:
    (problem,) = problems(text.encode())
    assert problem == f'expected an object, got {found}; a configuration is {{"jobs": [...]}}'


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_an_invalid_number_is_reported_at_its_place(number: str) -> None:
    text = json.dumps({"max_parallel": 7, **with_job()}).replace("7", number)
    (problem,) = problems(text.encode())
    assert problem.startswith("max_parallel: expected a whole number, got ")


def test_a_duplicate_key_is_a_problem_at_any_level() -> None:
    text = """{
      "jobs": [
        {"job_id": "a", "command": "true", "command": "false"},
        {"job_id": "b", "command": "true", "env": {"A": "1", "A": "2"}},
        {"job_id": "c", "command": "true", "retry": {"max_attempts": 1, "max_attempts": 2}}
      ],
      "max_parallel": 1, "max_parallel": 2
    }"""
    assert problems(text.encode()) == [
        f"{place}: duplicate key; keep only one"
        for place in (
            "max_parallel",
            "jobs[0].command",
            "jobs[1].env.A",
            "jobs[2].retry.max_attempts",
        )
    ]


def test_the_error_counts_its_problems_and_has_exit_code_2() -> None:
    with pytest.raises(InvalidConfig, match=r"^pipeline\.json has 1 problem$") as caught:
        read([])
    assert caught.value.exit_code == 2
    with pytest.raises(InvalidConfig, match=r"^pipeline\.json has 2 problems$"):
        read({"jobs": [], "max_parallel": 0})

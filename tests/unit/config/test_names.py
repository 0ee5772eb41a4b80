"""Unknown fields, and suggestions for the intended ones."""

import pytest
from tests.unit.config.samples import problems, with_job, with_queue


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("blockedBy", "depends_on"),
        ("blocked_by", "depends_on"),
        ("needs", "depends_on"),
        ("dependsOn", "depends_on"),
        ("depend_on", "depends_on"),
        ("cwd", "working_directory"),
        ("workdir", "working_directory"),
        ("workingDirectory", "working_directory"),
        ("outputs", "result_files"),
        ("resultFiles", "result_files"),
        ("Timeout", "timeout"),
        ("time_limit", "timeout"),
        ("enviroment", "environment"),
        ("attempts", "retry_count"),
    ],
)
def test_job_fields_of_other_tools_are_recognised(written: str, meant: str) -> None:
    (problem,) = problems(with_job(**{written: "x"}))
    assert problem == f"jobs[0].{written}: unknown field; did you mean '{meant}'?"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("id", "queue_id"),
        ("name", "queue_name"),
        ("timeout", "global_timeout"),
        ("parallelism", "max_parallel"),
        ("bucket", "result_s3_bucket"),
        ("onFailure", "on_failure"),
    ],
)
def test_queue_fields_of_other_tools_are_recognised(written: str, meant: str) -> None:
    (problem,) = problems(with_queue(**{written: "x"}))
    assert problem == f"{written}: unknown field; did you mean '{meant}'?"


@pytest.mark.parametrize("written", ["cmd", "run", "script"])
def test_a_required_field_under_another_name_is_not_reported_as_missing(written: str) -> None:
    assert problems({"jobs": [{"name": "a", written: "true"}]}) == [
        "jobs[0].name: unknown field; did you mean 'job_id'?",
        f"jobs[0].{written}: unknown field; did you mean 'command'?",
    ]


def test_a_field_with_another_meaning_is_explained() -> None:
    (problem,) = problems(with_job(max_retries=3))
    assert problem == (
        "jobs[0].max_retries: unknown field; did you mean 'retry_count'? "
        "(it includes the first attempt)"
    )


def test_a_misplaced_field_is_reported_with_the_right_place() -> None:
    assert problems(with_job(on_failure="stop")) == [
        "jobs[0].on_failure: unknown field; it belongs at the top level"
    ]
    assert problems(with_job(backoff="fixed")) == [
        'jobs[0].backoff: unknown field; it belongs in a job\'s "retry"'
    ]
    assert problems(with_queue(command="true")) == ["command: unknown field; it belongs in a job"]
